import { describe, expect, it } from 'vitest';
import { DatabaseUnavailable, isDatabaseTrouble, namingDatabaseTrouble } from './trouble.ts';

const error = (code: string, message = 'words of the server'): Error => Object.assign(new Error(message), { code });

describe('trouble with the database', () => {
  it.each([
    ['ECONNREFUSED', 'nobody listens'],
    ['57P01', 'it was shut down'],
    ['57P03', 'it is starting up'],
    ['53300', 'it has too many clients'],
    ['53100', 'its disk is full'],
    ['58030', 'its disk fails'],
    ['25006', 'it is a standby now'],
    ['08006', 'the connection broke'],
    ['25P03', 'this process was stopped inside a transaction'],
  ])('is %s: %s', (code) => {
    expect(isDatabaseTrouble(error(code))).toBe(true);
    expect(namingDatabaseTrouble(error(code))).toBeInstanceOf(DatabaseUnavailable);
  });

  it.each(['23505', '42P01', '22P02', '40P01'])('is not %s, which is about the statement', (code) => {
    const wrong = error(code);
    expect(namingDatabaseTrouble(wrong)).toBe(wrong);
  });

  it('tells who can do something about it: a full disk is freed by a person', () => {
    const full = namingDatabaseTrouble(error('53100', 'could not extend file "base/1/2": No space left on device'));
    expect(full).toMatchObject({
      kind: 'unavailable',
      reason: 'DATABASE_FULL',
      message: expect.stringContaining('Free some space'),
    });
    expect(namingDatabaseTrouble(error('ECONNREFUSED', 'connect ECONNREFUSED 10.1.2.3:5432'))).toMatchObject({
      kind: 'unavailable',
      reason: 'DATABASE_UNAVAILABLE',
      // Where the database is, is the operator's business: it is in the log, as the cause.
      message: expect.not.stringContaining('10.1.2.3'),
    });
  });
});
