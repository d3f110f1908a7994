import { describe, expect, it } from 'vitest';
import { sharedMs } from './frames.ts';

const frames = (text: string) => text.split(' ').map((one) => ({ mac: one.charAt(0), at: Number(one.slice(1)) }));

describe('the time that two senders share', () => {
  it('is none of one sender, nor when the second begins after the last frame of the first', () => {
    expect(sharedMs([])).toBe(0);
    expect(sharedMs(frames('a0 a500'))).toBe(0);
    expect(sharedMs(frames('a0 a500 b501 b900'))).toBe(0);
  });

  it('is from the first frame of the one that came to the last of the one that went', () => {
    expect(sharedMs(frames('a0 b400 a650 b900'))).toBe(250);
    expect(sharedMs(frames('b0 a100 b200 a220 b900'))).toBe(120);
  });
});
