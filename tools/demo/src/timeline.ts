import { Problem } from './problem.ts';
import type { Answer } from './traffic.ts';

/** Something that happened to the load balancer, as the controller keeps it. */
export interface Happening {
  readonly kind: string;
  readonly objectId: string;
  /** Milliseconds since 1970, by the clock of the database. */
  readonly at: number;
  readonly payload: Readonly<Record<string, unknown>>;
}

/** Milestones of a failover, in milliseconds since `kill -9`. */
export interface Timeline {
  readonly last_heartbeat_ms: number;
  readonly first_failed_request_ms: number;
  readonly declared_dead_ms: number;
  readonly fenced_ms: number;
  readonly vip_moved_ms: number;
  readonly configuration_pushed_ms: number;
  readonly first_good_request_ms: number;
  /** Requests that were sent from the first failure to the first good one. */
  readonly requests_failed: number;
  /** Good requests before and after it. */
  readonly requests_ok: number;
}

export interface Killing {
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly oldAmphoraId: string;
  readonly newAmphoraId: string;
}

/** The milestones that tell of a failover, by the kind of the event. */
const MILESTONES = ['amphora_silent', 'amphora_fenced', 'vip_plugged', 'configuration_pushed'] as const;

/** Whether the controller has told everything about the failover. */
export function isComplete(killing: Killing, happenings: readonly Happening[]): boolean {
  return MILESTONES.every((kind) => find(kind, killing, happenings) !== undefined);
}

/** When the first good request after the failure was answered; undefined: not yet. Milliseconds since 1970. */
export function firstGoodAt(killedAt: number, answers: readonly Answer[]): number | undefined {
  const failedAt = firstFailedAt(killedAt, answers);
  if (failedAt === undefined) return undefined;
  const good = answers.filter(({ by, sentAt }) => by !== null && sentAt > failedAt);
  return good.length === 0 ? undefined : Math.min(...good.map(({ doneAt }) => doneAt));
}

/** Puts together what the controller tells and what clients saw. @throws Problem when either tells too little */
export function timelineOf(killing: Killing, happenings: readonly Happening[], answers: readonly Answer[]): Timeline {
  const [silent, fenced, plugged, pushed] = MILESTONES.map((kind) => {
    const found = find(kind, killing, happenings);
    if (!found) throw new Problem(`The controller tells nothing of ${kind}.`);
    return found;
  }) as [Happening, Happening, Happening, Happening];
  const failedAt = firstFailedAt(killing.at, answers);
  const goodAt = firstGoodAt(killing.at, answers);
  if (failedAt === undefined) throw new Problem('No request failed, so nothing was killed.');
  if (goodAt === undefined) throw new Problem('No request was answered after the failure.');
  const since = (at: number): number => Math.round(at - killing.at);
  const failed = answers.filter(({ by, sentAt }) => by === null && sentAt >= failedAt && sentAt <= goodAt);
  return {
    last_heartbeat_ms: since(silent.at - Number(silent.payload.last_heartbeat_age_ms)),
    first_failed_request_ms: since(failedAt),
    declared_dead_ms: since(silent.at),
    fenced_ms: since(fenced.at),
    vip_moved_ms: since(plugged.at),
    configuration_pushed_ms: since(pushed.at),
    first_good_request_ms: since(goodAt),
    requests_failed: failed.length,
    requests_ok: answers.filter(({ by }) => by !== null).length,
  };
}

/** When the first request that failed was sent. One before the killing is not its fault. */
function firstFailedAt(killedAt: number, answers: readonly Answer[]): number | undefined {
  const failed = answers.filter(({ by, doneAt }) => by === null && doneAt >= killedAt);
  return failed.length === 0 ? undefined : Math.min(...failed.map(({ sentAt }) => sentAt));
}

function find(
  kind: (typeof MILESTONES)[number],
  { oldAmphoraId, newAmphoraId, at }: Killing,
  happenings: readonly Happening[],
): Happening | undefined {
  const subject = kind === 'amphora_silent' || kind === 'amphora_fenced' ? oldAmphoraId : newAmphoraId;
  return happenings.find((one) => one.kind === kind && one.objectId === subject && one.at >= at);
}
