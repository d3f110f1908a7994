import { describe, expect, it } from 'vitest';
import { retryDelayMs } from './backoff.ts';

describe('the delay before the next try', () => {
  it('doubles up to five seconds', () => {
    expect([1, 2, 3, 4, 5, 6, 7, 100].map((attempt) => retryDelayMs(attempt, 0))).toEqual([
      100, 200, 400, 800, 1600, 3200, 5000, 5000,
    ]);
  });

  it('is at least half of that, so that those who failed together come back apart', () => {
    expect(retryDelayMs(3, 1)).toBe(200);
    expect(retryDelayMs(3, 0.5)).toBe(300);
  });
});
