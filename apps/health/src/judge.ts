import {
  type Database,
  type Events,
  type FailoverCandidate,
  type FailoverCandidates,
  type FailoverTry,
  type Flows,
  type OwnedRange,
  type ShardOwners,
  ShardsLost,
  type Tx,
} from '@octavia/db';
import type { Fault } from '@octavia/domain';
import { deleteAmphora, failoverAmphora } from '@octavia/flows';
import { ATTR, type Logger } from '@octavia/service';
import { v7 as uuidv7 } from 'uuid';
import type { AmphoraTable } from './amphora-table.ts';
import type { Clock } from './clock.ts';
import type { CAUSES, HealthMetrics } from './metrics.ts';
import { awaitsIsolation, failoverWaitMs, mismatchWaitMs } from './retry.ts';
import type { Roster } from './roster.ts';
import type { Shards } from './shards.ts';
import type { Blindness, Sight } from './sight.ts';

export interface JudgeParts {
  readonly db: Database;
  readonly owners: ShardOwners;
  readonly candidates: FailoverCandidates;
  readonly flows: Flows;
  readonly events: Events;
  readonly shards: Shards;
  readonly roster: Roster;
  readonly table: AmphoraTable;
  readonly sight: Sight;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: HealthMetrics;
  readonly timeoutMs: number;
  readonly flowDeadlineMs: number;
  readonly onSilent: (loadBalancerId: string) => void;
}

/** How long an amphora is left alone once it is taken care of, ms. */
const LOOK_AGAIN_MS = 5_000;
/** How long it is left alone while it is being decided on, when that came to nothing, and when another one is replaced first, ms. */
const RETRY_MS = 1_000;
/** Longest wait before the reasons to wait are read again, ms: an operator may have removed them. */
const MAX_HOLD_MS = 30_000;
/** Amphorae that are decided on side by side. */
const AT_ONCE = 8;

/** What is known of an amphora's silence. */
interface Silence {
  readonly amphoraId: string;
  readonly cause: (typeof CAUSES)[number];
  /** Milliseconds since the last heartbeat; null when there never was one. */
  readonly heartbeatAgeMs: number | null;
  /** Milliseconds since it was last well, or since it should have been heard. */
  readonly silentMs: number;
  /** Load balancers that it does not serve though it talks; absent: none of them. */
  readonly unserved?: readonly string[];
  /** Whether it has several load balancers. */
  readonly isShared: boolean;
}

/** Of a spare, or of one load balancer: the flow that was started, or how long to leave the amphora alone. */
type Outcome =
  | { readonly flowId: string }
  | { readonly waitMs: number; readonly isHandled?: true; readonly awaitsIsolation?: true };

/** Finds the amphorae that fell silent and starts their replacement. */
export class Judge {
  readonly #parts: JudgeParts;
  /** Why silence is not judged, as last logged. */
  #waitsFor: Blindness | 'new_shards' | null = null;
  /** Amphorae whose failovers gave up because nothing confirms that they are isolated. */
  readonly #unconfirmed = new Set<string>();

  constructor(parts: JudgeParts) {
    this.#parts = parts;
  }

  /** One search. Returns how many flows it started. */
  async search(): Promise<number> {
    const { table, clock, metrics } = this.#parts;
    if (!this.#canJudge()) return 0;
    const startedAt = performance.now();
    const silent: string[] = [];
    table.silent(clock(), (index) => {
      const amphora = table.at(index);
      if (amphora) silent.push(amphora.id);
    });
    metrics.scanSeconds.record((performance.now() - startedAt) / 1000);
    return this.#decideAll(silent);
  }

  /** How many amphorae are silent and not replaced, because nothing confirms that they are isolated. */
  unconfirmed(): number {
    const { table, clock } = this.#parts;
    const now = clock();
    for (const id of this.#unconfirmed) {
      const index = table.indexOf(id);
      if (index === undefined || !table.isUnwell(index, now)) this.#unconfirmed.delete(id);
    }
    return this.#unconfirmed.size;
  }

  #canJudge(): boolean {
    const { sight, roster, log } = this.#parts;
    const why = sight.look() ?? (roster.isSettling ? 'new_shards' : null);
    if (why !== this.#waitsFor) log.info({ why }, why === null ? 'silence is judged' : 'silence is not judged for now');
    this.#waitsFor = why;
    return why === null;
  }

  /** Oldest ids first; one that fails does not keep the others from being decided. */
  async #decideAll(silent: string[]): Promise<number> {
    const queue = silent.sort().reverse();
    let started = 0;
    let wasStopped = false;
    const worker = async (): Promise<void> => {
      for (let id = queue.pop(); id !== undefined; id = queue.pop()) {
        // Whoever was stopped in the middle knows nothing of the rest of the list any more.
        wasStopped ||= this.#parts.sight.tick();
        if (wasStopped) return;
        if (await this.#decide(id)) started += 1;
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
    return started;
  }

  async #decide(id: string): Promise<boolean> {
    const { table, shards, db, owners, log, clock } = this.#parts;
    const index = table.indexOf(id);
    const amphora = index === undefined ? undefined : table.at(index);
    const range = index === undefined ? null : shards.ownerOf(table.shard(index));
    if (index === undefined || !amphora || !range) return false;
    const silence = this.#silence(index, id);
    // Before anything else: if the rest fails or takes long, the next search does not come here at once.
    table.hold(index, clock() + RETRY_MS);
    try {
      const outcomes = await db.transaction(async (tx) => {
        await owners.hold(tx, range);
        return amphora.status === 'READY' ? [await this.#discard(tx, silence)] : this.#failOver(tx, silence);
      });
      const isStarted = this.#settle(id, silence, outcomes);
      for (const loadBalancerId of amphora.loadBalancerIds) this.#parts.onSilent(loadBalancerId);
      return isStarted;
    } catch (error) {
      this.#failed(error, range);
      log.warn(
        { err: error, [ATTR.AMPHORA_ID]: id },
        'a silent amphora could not be marked; the next search tries again',
      );
      return false;
    }
  }

  #failed(error: unknown, range: OwnedRange): void {
    if (error instanceof ShardsLost) this.#parts.shards.lose(range);
    else this.#parts.sight.databaseFailed();
  }

  #settle(id: string, silence: Silence, outcomes: readonly Outcome[]): boolean {
    const { table, clock, log, metrics } = this.#parts;
    const index = table.indexOf(id);
    // The others that it serves may need somebody at any moment.
    const lookAgainMs = silence.unserved && silence.isShared ? RETRY_MS : LOOK_AGAIN_MS;
    const waits = outcomes.map((one) => ('flowId' in one ? lookAgainMs : Math.min(one.waitMs, MAX_HOLD_MS)));
    if (index !== undefined) table.hold(index, clock() + (waits.length > 0 ? Math.min(...waits) : LOOK_AGAIN_MS));
    // Until it is replaced or heard: also while the next try of its failover waits for the same.
    if (outcomes.some((one) => 'awaitsIsolation' in one)) this.#unconfirmed.add(id);
    const flowIds = outcomes.flatMap((one) => ('flowId' in one ? [one.flowId] : []));
    for (const flowId of flowIds) {
      metrics.failovers.add(1, { [ATTR.REASON]: silence.cause });
      log.info({ ...silence, [ATTR.FLOW_ID]: flowId }, 'silent amphora is replaced');
    }
    return flowIds.length > 0;
  }

  /** Decides on each load balancer that the amphora should serve. */
  async #failOver(tx: Tx, silence: Silence): Promise<Outcome[]> {
    const { amphoraId, unserved } = silence;
    const all = await this.#parts.candidates.lock(tx, amphoraId);
    const outcomes: Outcome[] = [];
    for (const candidate of all) {
      if (unserved && !unserved.includes(candidate.loadBalancerId)) continue;
      const outcome = await this.#failOverOne(tx, silence, candidate);
      if ('isHandled' in outcome) this.#forgetMismatch(candidate);
      outcomes.push(outcome);
    }
    return outcomes;
  }

  /** What a flow has in hand cannot serve yet: its mismatch begins anew with the next look at the statuses. */
  #forgetMismatch({ amphoraId, loadBalancerId }: FailoverCandidate): void {
    const { table } = this.#parts;
    const index = table.indexOf(amphoraId);
    if (index !== undefined) table.setMismatch(index, loadBalancerId, null);
  }

  async #failOverOne(tx: Tx, silence: Silence, candidate: FailoverCandidate): Promise<Outcome> {
    const { candidates, flows, events, flowDeadlineMs, timeoutMs } = this.#parts;
    const { amphoraId, loadBalancerId, projectId, state, provisioningStatus } = candidate;
    // Both of a pair are dead: this one is replaced as soon as the other one is.
    if (state === 'NEXT') return { waitMs: RETRY_MS, isHandled: true };
    // A flow that creates the load balancer finds out by itself, and undoes.
    if (state === 'HANDLED' || provisioningStatus === 'PENDING_CREATE')
      return { waitMs: LOOK_AGAIN_MS, isHandled: true };
    const tries = await candidates.triesOf(tx, candidate);
    const waitMs = await this.#waitMs(tx, candidate, silence, tries);
    if (waitMs > 0 && awaitsIsolation(tries)) {
      await this.#tellUnconfirmed(tx, candidate);
      return { waitMs, awaitsIsolation: true };
    }
    if (waitMs > 0) return { waitMs };
    if (silence.unserved && silence.isShared) await candidates.setSeatFault(tx, candidate, faultOf(silence));
    else await candidates.setFault(tx, amphoraId, faultOf(silence));
    const requester = { projectId, userId: 'health', requestId: uuidv7() };
    const flow = failoverAmphora(amphoraId, loadBalancerId, requester, { deadlineMs: flowDeadlineMs });
    const flowId = await flows.start(tx, flow);
    await events.append(tx, {
      loadBalancerId,
      projectId,
      author: requester.userId,
      requestId: requester.requestId,
      kind: 'amphora_silent',
      objectKind: 'amphora',
      objectId: amphoraId,
      payload: {
        cause: silence.cause,
        last_heartbeat_age_ms: silence.heartbeatAgeMs,
        silent_ms: silence.silentMs,
        timeout_ms: timeoutMs,
        flow_id: flowId,
      },
    });
    return { flowId };
  }

  /** Keeps with the amphora what its replacement waits for, for people who look at it. */
  async #tellUnconfirmed(tx: Tx, { amphoraId, faultReason }: FailoverCandidate): Promise<void> {
    const { reason, message } = notIsolated(amphoraId);
    if (faultReason !== reason) await this.#parts.candidates.setFault(tx, amphoraId, { reason, message });
  }

  async #waitMs(
    tx: Tx,
    candidate: FailoverCandidate,
    { cause }: Silence,
    tries: readonly FailoverTry[],
  ): Promise<number> {
    const { candidates } = this.#parts;
    const afterFailures = failoverWaitMs(tries);
    if (cause !== 'listener_mismatch') return afterFailures;
    return Math.max(
      afterFailures,
      mismatchWaitMs(await candidates.triesOfLoadBalancer(tx, candidate.loadBalancerId), this.#parts.timeoutMs),
    );
  }

  async #discard(tx: Tx, silence: Silence): Promise<Outcome> {
    const { candidates, flows, flowDeadlineMs } = this.#parts;
    const spare = await candidates.discardSpare(tx, silence.amphoraId, faultOf(silence));
    // Somebody has just taken it; we shall be told.
    if (!spare) return { waitMs: RETRY_MS };
    const requester = { projectId: spare.projectId, userId: 'health', requestId: uuidv7() };
    return {
      flowId: await flows.start(tx, deleteAmphora(silence.amphoraId, requester, { deadlineMs: flowDeadlineMs })),
    };
  }

  #silence(index: number, amphoraId: string): Silence {
    const { table, clock } = this.#parts;
    const now = clock();
    const heardAt = table.heardAt(index);
    const isShared = (table.at(index)?.loadBalancerIds.length ?? 0) > 1;
    if (!Number.isFinite(heardAt)) {
      const silentMs = Math.round(now - table.readyAt(index));
      return { amphoraId, cause: 'never_heard', heartbeatAgeMs: null, silentMs, isShared };
    }
    const isMismatch = table.mismatchAt(index) < heardAt && table.isFresh(index, now);
    return {
      amphoraId,
      cause: isMismatch ? 'listener_mismatch' : 'heartbeat_lost',
      ...(isMismatch ? { unserved: table.mismatched(index) } : {}),
      isShared,
      heartbeatAgeMs: Math.round(now - heardAt),
      silentMs: Math.round(now - table.wellAt(index)),
    };
  }
}

function faultOf({ cause, silentMs, heartbeatAgeMs }: Silence): Fault {
  if (cause === 'listener_mismatch') {
    return {
      reason: 'LISTENER_MISMATCH',
      message: `The amphora has not served the listeners that it should for ${silentMs} ms, so it is replaced.`,
    };
  }
  const message =
    heartbeatAgeMs === null
      ? `The amphora has sent no heartbeat in the ${silentMs} ms since it was ready, so it is replaced.`
      : `The last heartbeat of the amphora came ${heartbeatAgeMs} ms ago, so it is replaced.`;
  return { reason: 'HEARTBEAT_LOST', message };
}

function notIsolated(amphoraId: string): Fault {
  return {
    reason: 'FENCE_NOT_CONFIRMED',
    message:
      'The amphora is silent, and nothing confirms that it is isolated, so it is not replaced. Make sure of it yourself, then say so: ' +
      `octaviactl loadbalancer amphora fence --confirm ${amphoraId}. Until then it is tried again every few minutes.`,
  };
}
