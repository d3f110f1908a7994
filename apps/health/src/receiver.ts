import {
  type Database,
  type ListenerStatistics,
  type ListenerTraffic,
  type OwnedRange,
  type ShardOwners,
  ShardsLost,
} from '@octavia/db';
import { type StatusReport, shardOf, Unavailable } from '@octavia/domain';
import { ATTR, type Logger } from '@octavia/service';
import type { AmphoraTable } from './amphora-table.ts';
import type { Clock } from './clock.ts';
import type { Batch, BatchReply, Heartbeat } from './heartbeat.ts';
import type { HealthMetrics } from './metrics.ts';
import type { ReplayGuard, Verdict } from './replay.ts';
import type { Roster } from './roster.ts';
import type { Shards } from './shards.ts';
import type { Sight } from './sight.ts';

export interface ReceiverParts {
  readonly db: Database;
  readonly owners: ShardOwners;
  readonly statistics: ListenerStatistics;
  readonly shards: Shards;
  readonly roster: Roster;
  readonly table: AmphoraTable;
  readonly replay: ReplayGuard;
  readonly sight: Sight;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: HealthMetrics;
  /** Our own address, as senders know it. */
  readonly address: () => string;
  readonly encodeReport: (report: StatusReport) => Uint8Array;
  /** A load balancer's statuses may have changed. */
  readonly onReport: (loadBalancerId: string) => void;
}

/** What the rule said of the entries of a sender's newest batch: a repeated batch is not judged twice. */
interface Judged {
  readonly number: bigint;
  readonly verdicts: Map<string, Verdict>;
}

/** Senders that are remembered; a sender lives as long as its process. */
const MAX_SENDERS = 1_000;
/** Unknown amphorae that are named in the log and looked up, each once in a while. */
const MAX_STRANGERS = 10_000;
/** How long an unknown amphora is not looked up again, ms. */
const STRANGER_MS = 10_000;

/** Takes batches of heartbeats: liveness and statuses into memory, traffic into the database. */
export class Receiver {
  readonly #parts: ReceiverParts;
  readonly #judged = new Map<string, Judged>();
  readonly #strangers = new Map<string, number>();

  constructor(parts: ReceiverParts) {
    this.#parts = parts;
  }

  /** @throws Unavailable when the traffic could not be stored: send the same batch again */
  async take(batch: Batch): Promise<BatchReply> {
    const { metrics, sight, shards } = this.#parts;
    sight.batch();
    metrics.batches.add(1);
    const verdicts = this.#verdictsOf(batch);
    const wantedStatuses: string[] = [];
    const notOwned = new Set<number>();
    const traffic = new Map<number, { range: OwnedRange; all: ListenerTraffic[] }>();
    for (const heartbeat of batch.heartbeats) {
      const shard = shardOf(heartbeat.amphoraId);
      const range = shards.ownerOf(shard);
      if (!range) {
        notOwned.add(shard);
        metrics.packet('not_owned', heartbeat.datagrams);
        continue;
      }
      const verdict = this.#take(heartbeat, verdicts, wantedStatuses);
      if (verdict !== 'fresh' && verdict !== 'late') continue;
      const ofRange = traffic.get(range.first) ?? { range, all: [] };
      ofRange.all.push(...heartbeat.traffic);
      traffic.set(range.first, ofRange);
    }
    await this.#count(
      batch,
      [...traffic.values()].filter(({ all }) => all.length > 0),
    );
    return { wantedStatuses, notOwned: [...notOwned].sort((a, b) => a - b) };
  }

  #take(heartbeat: Heartbeat, verdicts: Map<string, Verdict>, wanted: string[]): Verdict | null {
    const { table, replay, clock, metrics } = this.#parts;
    const index = table.indexOf(heartbeat.amphoraId);
    if (index === undefined) {
      this.#stranger(heartbeat);
      return null;
    }
    const verdict = verdicts.get(heartbeat.amphoraId) ?? replay.judge(index, heartbeat.boot, heartbeat.seq);
    verdicts.set(heartbeat.amphoraId, verdict);
    metrics.packet(verdict, heartbeat.datagrams);
    if (verdict === 'fresh') {
      table.heard(index, clock() - heartbeat.ageMs);
      const place = table.place(index);
      if (place) this.#parts.roster.pagesOf(table.shard(index))?.touch(place.page);
      this.#report(index, heartbeat, wanted);
    }
    return verdict;
  }

  #report(index: number, { amphoraId, statusHash, status }: Heartbeat, wanted: string[]): void {
    const { table, encodeReport, onReport } = this.#parts;
    const loadBalancerIds = table.at(index)?.loadBalancerIds ?? [];
    // A spare serves nothing.
    if (loadBalancerIds.length === 0 || table.hash(index) === statusHash) return;
    if (!status) {
      wanted.push(amphoraId);
      return;
    }
    table.setReport(index, statusHash, encodeReport(status));
    for (const loadBalancerId of loadBalancerIds) onReport(loadBalancerId);
  }

  /** An amphora that we do not know: new, or gone. What is gone is housekeeping's. */
  #stranger({ amphoraId, datagrams }: Heartbeat): void {
    const { clock, metrics, roster, log } = this.#parts;
    metrics.packet('unknown', datagrams);
    const now = clock();
    const lookedAt = this.#strangers.get(amphoraId);
    if (lookedAt !== undefined && now - lookedAt < STRANGER_MS) return;
    if (lookedAt === undefined) {
      if (this.#strangers.size >= MAX_STRANGERS) this.#strangers.clear();
      log.debug({ [ATTR.AMPHORA_ID]: amphoraId }, 'heartbeat of an amphora that is neither ready nor allocated');
    }
    this.#strangers.set(amphoraId, now);
    roster.changed(amphoraId);
  }

  #verdictsOf({ senderId, number }: Batch): Map<string, Verdict> {
    const known = this.#judged.get(senderId);
    this.#judged.delete(senderId);
    const judged = known?.number === number ? known : { number, verdicts: new Map<string, Verdict>() };
    // Newest last, so the first is the one to forget.
    this.#judged.set(senderId, judged);
    const [oldest] = this.#judged.keys();
    if (this.#judged.size > MAX_SENDERS && oldest !== undefined) this.#judged.delete(oldest);
    return judged.verdicts;
  }

  async #count(
    { senderId, number }: Batch,
    parts: readonly { range: OwnedRange; all: ListenerTraffic[] }[],
  ): Promise<void> {
    if (parts.length === 0) return;
    const { db, owners, statistics, address, shards, sight } = this.#parts;
    try {
      await db.transaction(async (tx) => {
        for (const { range } of parts) await owners.hold(tx, range);
        await statistics.add(
          tx,
          { senderId, owner: address(), number },
          parts.flatMap(({ all }) => all),
        );
      });
    } catch (error) {
      if (error instanceof ShardsLost) {
        for (const { range } of parts) if (String(range.first) === error.details.first) shards.lose(range);
        throw error;
      }
      sight.databaseFailed();
      throw new Unavailable(
        'DATABASE_UNAVAILABLE',
        'The traffic could not be stored. Send the same batch again.',
        {},
        200,
        {
          cause: error,
        },
      );
    }
  }
}
