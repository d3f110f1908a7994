import type { FailoverTry } from '@octavia/db';

/** Delays of the next failover after failed ones: doubled with each, up to the limit of the class of the last failure. */
interface Delays {
  readonly firstMs: number;
  readonly limitMs: number;
}

/** Something was away or full: it may be back at any time. */
const AWAY: Delays = { firstMs: 2_000, limitMs: 60_000 };
/** It was refused, or we do not know: the same try will probably fail again. */
const REFUSED: Delays = { firstMs: 10_000, limitMs: 600_000 };
/** Nothing can isolate the amphora: until a person confirms that it is, each try builds another amphora for nothing. */
const UNCONFIRMED: Delays = { firstMs: 60_000, limitMs: 600_000 };
/** Failovers that succeeded but did not help: the next amphora will probably be the same. */
const NO_HELP_FIRST_MS = 10_000;
const NO_HELP_LIMIT_MS = 600_000;

/** Reason of failovers that gave up because nothing confirms that the old amphora is isolated. */
const FENCE_NOT_CONFIRMED = 'FENCE_NOT_CONFIRMED';

/** Reasons that say: try again later. Ends of reasons, so that drivers may name themselves. */
const AWAY_REASON = /(UNAVAILABLE|TIMEOUT|TIMED_OUT|UNREACHABLE|DEADLINE_EXCEEDED|NO_CAPACITY|CIRCUIT_OPEN)$/;

/**
 * Milliseconds until the next failover of an amphora may start, after those that were tried (newest first); 0: now.
 * It never says never.
 */
export function failoverWaitMs(tries: readonly FailoverTry[]): number {
  const [newest] = tries;
  const firstSuccess = tries.findIndex((one) => one.state === 'SUCCEEDED');
  const failures = firstSuccess === -1 ? tries.length : firstSuccess;
  if (!newest || failures === 0) return 0;
  if (newest.reason === FENCE_NOT_CONFIRMED && newest.isConfirmedSince) return 0;
  return waitMs(delaysAfter(newest), failures, newest.endedMs);
}

/** Whether what an amphora waits for, after those failovers, is its isolation. */
export function awaitsIsolation([newest]: readonly FailoverTry[]): boolean {
  return newest?.state === 'FAILED' && newest.reason === FENCE_NOT_CONFIRMED && !newest.isConfirmedSince;
}

function delaysAfter(newest: FailoverTry): Delays {
  // A cancelled one was stopped for something else (an operator, a delete): that says nothing of the next.
  if (newest.state === 'CANCELLED' || AWAY_REASON.test(newest.reason ?? '')) return AWAY;
  return newest.reason === FENCE_NOT_CONFIRMED ? UNCONFIRMED : REFUSED;
}

/** How far back failovers are taken for one story. */
const SAME_STORY_MS = 3_600_000;

/**
 * The same for an amphora that talks but does not serve: here failovers that succeeded count too, because a load balancer
 * whose configuration never comes up would otherwise be failed over again and again.
 * @param tries of all amphorae of the load balancer, newest first
 * @param timeoutMs that the new amphora has at least to say what it serves
 */
export function mismatchWaitMs(tries: readonly FailoverTry[], timeoutMs: number): number {
  const recent = tries.filter((one) => one.endedMs < SAME_STORY_MS);
  const [newest] = recent;
  const firstMs = Math.max(NO_HELP_FIRST_MS, timeoutMs);
  const limitMs = Math.max(NO_HELP_LIMIT_MS, timeoutMs);
  return newest ? waitMs({ firstMs, limitMs }, recent.length, newest.endedMs) : 0;
}

function waitMs({ firstMs, limitMs }: Delays, failures: number, endedMs: number): number {
  return Math.max(0, Math.min(firstMs * 2 ** (failures - 1), limitMs) - endedMs);
}
