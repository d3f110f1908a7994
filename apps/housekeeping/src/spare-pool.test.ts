import { describe, expect, it } from 'vitest';
import { missingSpares } from './spare-pool.ts';

const pool = { size: 5, maxDeploying: 3 };
const fine = { failures: 0, endedMs: 0 };

describe('how many spares to build', () => {
  it('counts those that are being built', () => {
    expect(missingSpares(pool, { ready: 3, booting: 1 }, fine)).toBe(1);
    expect(missingSpares(pool, { ready: 3, booting: 2 }, fine)).toBe(0);
  });

  it('builds no more at once than the limit', () => {
    expect(missingSpares(pool, { ready: 0, booting: 0 }, fine)).toBe(3);
    expect(missingSpares(pool, { ready: 0, booting: 2 }, fine)).toBe(1);
    expect(missingSpares(pool, { ready: 0, booting: 4 }, fine)).toBe(0);
  });

  it('says how many are too many', () => {
    expect(missingSpares(pool, { ready: 6, booting: 1 }, fine)).toBe(-2);
  });

  it('tries one at a time after failures, and waits longer after each', () => {
    const empty = { ready: 0, booting: 0 };
    expect(missingSpares(pool, empty, { failures: 1, endedMs: 1_999 })).toBe(0);
    expect(missingSpares(pool, empty, { failures: 1, endedMs: 2_000 })).toBe(1);
    expect(missingSpares(pool, empty, { failures: 3, endedMs: 7_999 })).toBe(0);
    expect(missingSpares(pool, empty, { failures: 10, endedMs: 300_000 })).toBe(1);
    expect(missingSpares(pool, { ready: 0, booting: 1 }, { failures: 1, endedMs: 2_000 })).toBe(0);
  });
});
