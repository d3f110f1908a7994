import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { withRecording } from './recording.ts';

const page = readFileSync(new URL('../../../README.md', import.meta.url), 'utf8');

describe('a recording', () => {
  it('takes the place of the one before, and of nothing else', () => {
    const first = withRecording(page, '\nnew\n');
    expect(first).toContain('--record -->\n```text\nnew\n```\n<!-- end');
    expect(withRecording(first, 'newer')).toBe(first.replace('\nnew\n', '\nnewer\n'));
  });

  it('is in the README, of a run that went as promised', () => {
    expect(page).toMatch(/ ms {3}first good request\n[\s\S]*Everything happened as promised/);
  });

  it('is not put into a page without a place for it', () => {
    expect(() => withRecording('# Page', 'x')).toThrow(/no place/);
  });
});
