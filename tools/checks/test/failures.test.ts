import { describe, expect, it } from 'vitest';
import { failuresOf } from '../src/failures.ts';

describe('what failed', () => {
  it('is told by file, full name and the first lines of the message', () => {
    const long = [
      '\u001b[31mAssertionError: expected 1 to be 2\u001b[39m',
      '',
      ...Array.from({ length: 20 }, (_, n) => `at ${n}`),
    ];
    const result = {
      testResults: [
        {
          name: '/clone/apps/worker/test/a.test.ts',
          status: 'failed',
          assertionResults: [
            { status: 'passed', fullName: 'a worker works', failureMessages: [] },
            { status: 'failed', fullName: 'a worker rests', failureMessages: [long.join('\n')] },
          ],
        },
      ],
    };
    const [told = '', ...others] = failuresOf(result, '/clone');
    expect(others).toEqual([]);
    expect(told.split('\n')).toEqual([
      'FAILED  apps/worker/test/a.test.ts: a worker rests',
      '        AssertionError: expected 1 to be 2',
      ...Array.from({ length: 11 }, (_, n) => `        at ${n}`),
      '        … 9 more lines',
    ]);
  });

  it('may be a whole file, which did not load or whose hook threw', () => {
    const file = { name: '/clone/x.test.ts', status: 'failed', message: 'no such module', assertionResults: [] };
    expect(failuresOf({ testResults: [file] }, '/clone')).toEqual([
      'FAILED  x.test.ts: the file failed\n        no such module',
    ]);
  });

  it('is nothing when all is well', () => {
    const test = { status: 'passed', fullName: 'a', failureMessages: [] };
    expect(failuresOf({ testResults: [{ name: '/x', status: 'passed', assertionResults: [test] }] }, '/')).toEqual([]);
  });
});
