import type { FailoverTry } from '@octavia/db';
import { describe, expect, it } from 'vitest';
import { awaitsIsolation, failoverWaitMs, mismatchWaitMs } from './retry.ts';

const failed = (reason: string, endedMs = 0): FailoverTry => ({
  state: 'FAILED',
  reason,
  endedMs,
  isConfirmedSince: false,
});
const succeeded: FailoverTry = { state: 'SUCCEEDED', reason: null, endedMs: 0, isConfirmedSince: false };

describe('when a failover is tried again', () => {
  it('tries the first one at once', () => {
    expect(failoverWaitMs([])).toBe(0);
  });

  it('waits longer after each failure, up to a limit', () => {
    const waits = [1, 2, 3, 10].map((count) => failoverWaitMs(Array(count).fill(failed('COMPUTE_UNAVAILABLE'))));
    expect(waits).toEqual([2_000, 4_000, 8_000, 60_000]);
  });

  it('gives what refused more time than what was away, but never gives up', () => {
    expect(failoverWaitMs([failed('IMAGE_NOT_FOUND')])).toBe(10_000);
    expect(failoverWaitMs(Array(10).fill(failed('IMAGE_NOT_FOUND')))).toBe(600_000);
    expect(failoverWaitMs(Array(10).fill(failed('IMAGE_NOT_FOUND', 600_000)))).toBe(0);
  });

  it('gives a person time to confirm the isolation that nothing else can, and loses none when that is done', () => {
    const unconfirmed = failed('FENCE_NOT_CONFIRMED');
    const waits = [1, 2, 3, 10].map((count) => failoverWaitMs(Array(count).fill(unconfirmed)));
    expect(waits).toEqual([60_000, 120_000, 240_000, 600_000]);
    expect(awaitsIsolation([unconfirmed])).toBe(true);
    const confirmed = { ...unconfirmed, isConfirmedSince: true };
    expect(failoverWaitMs(Array(10).fill(confirmed))).toBe(0);
    expect(awaitsIsolation([confirmed, unconfirmed])).toBe(false);
    expect(awaitsIsolation([succeeded, unconfirmed])).toBe(false);
  });

  it('counts the time that has passed since', () => {
    expect(failoverWaitMs([failed('COMPUTE_UNAVAILABLE', 1_500)])).toBe(500);
  });

  it('begins anew after a success', () => {
    expect(failoverWaitMs([failed('X_UNAVAILABLE'), succeeded, failed('X_UNAVAILABLE')])).toBe(2_000);
    expect(failoverWaitMs([succeeded, failed('X_UNAVAILABLE')])).toBe(0);
  });

  it('slows down when failovers succeed and the next amphora does not serve either', () => {
    expect(mismatchWaitMs([], 4_000)).toBe(0);
    expect(mismatchWaitMs([succeeded], 4_000)).toBe(10_000);
    expect(mismatchWaitMs([succeeded], 60_000)).toBe(60_000);
    expect(mismatchWaitMs([succeeded, succeeded], 4_000)).toBe(20_000);
    expect(mismatchWaitMs([{ ...succeeded, endedMs: 3_600_001 }], 4_000)).toBe(0);
  });
});
