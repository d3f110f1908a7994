import type { LaneTimes } from './lane.ts';

/** Waits between two tries of a batch, in milliseconds. */
const FIRST_RETRY_MS = 50;
const LONGEST_RETRY_MS = 1_000;
/** Silence towards an owner, in milliseconds. Source: the contract of ReportHeartbeats. */
const ALIVE_MS = 1_000;

/** Times of the real world; the clock is monotonic, because heartbeats have ages and not times of day. */
export function laneTimes(batchMs: number): LaneTimes {
  return {
    batchMs,
    firstRetryMs: FIRST_RETRY_MS,
    longestRetryMs: LONGEST_RETRY_MS,
    aliveMs: ALIVE_MS,
    nowMs: () => performance.now(),
  };
}
