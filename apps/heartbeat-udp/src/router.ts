import { randomUUID } from 'node:crypto';
import { SHARD_COUNT, shardOf } from '@octavia/domain';
import type { ShardMap } from '@octavia/proto';
import { type Entry, entryOf, merge } from './entry.ts';
import { Lane, type LaneEvents, type LaneTimes, type Report } from './lane.ts';
import type { Opened } from './opener.ts';
import type { OutcomeCounts } from './outcomes.ts';
import { RecentMap } from './recent-map.ts';

/** How batches reach an owner. */
export interface OwnerConnection {
  report: Report;
  close(): void;
}

export interface RouterLimits {
  /** Amphorae that may wait for an owner. */
  readonly waitingEntries: number;
  /** Bytes of their bodies. */
  readonly waitingBytes: number;
  /** Amphorae that are remembered, to know replays and whose status was told. */
  readonly knownAmphorae: number;
}

export const DEFAULT_LIMITS: RouterLimits = {
  waitingEntries: 200_000,
  waitingBytes: 268_435_456,
  knownAmphorae: 2_000_000,
};

/** What we remember of an amphora between its datagrams. */
interface Known {
  seq: number;
  boot: string;
  /** Owner that has taken the whole status with this hash; null: none has. */
  toldTo: string | null;
  high: number;
  low: number;
}

/** What happened to batches, for metrics and the log. */
export interface RouterObserver {
  onBatch(outcome: 'taken' | 'retried' | 'abandoned' | 'refused', owner: string, error?: unknown): void;
}

/**
 * Keeps what amphorae said until the owner of their shard has taken it. While a shard has no owner, the newest of each
 * amphora waits, within limits: then the oldest entries go first.
 */
export class Router implements LaneEvents {
  readonly #senderId = randomUUID();
  readonly #connect: (owner: string) => OwnerConnection;
  readonly #counts: OutcomeCounts;
  readonly #observer: RouterObserver;
  readonly #times: LaneTimes;
  readonly #limits: RouterLimits;
  readonly #known: RecentMap<Known>;
  readonly #lanes = new Map<string, { lane: Lane; connection: OwnerConnection }>();
  /** Newest number sent to each owner, also to one that left the map and may come back. */
  readonly #lastNumbers = new Map<string, bigint>();
  readonly #owners: (Lane | null)[] = new Array(SHARD_COUNT).fill(null);
  /** Entries of shards without an owner. */
  readonly #unowned = new Map<string, Entry>();
  #waitingEntries = 0;
  #waitingBytes = 0;

  constructor(
    connect: (owner: string) => OwnerConnection,
    counts: OutcomeCounts,
    observer: RouterObserver,
    times: LaneTimes,
    limits: RouterLimits = DEFAULT_LIMITS,
  ) {
    this.#connect = connect;
    this.#counts = counts;
    this.#observer = observer;
    this.#times = times;
    this.#limits = limits;
    this.#known = new RecentMap(limits.knownAmphorae);
  }

  /** Amphorae that wait to be told about. */
  get waiting(): number {
    return this.#waitingEntries;
  }

  /**
   * Takes up one datagram. A sender with a boot id never repeats its counter; one without may also have started again, which only
   * the owner can tell from a replay.
   */
  add(heartbeat: Opened): 'accepted' | 'replayed' {
    const { amphoraId, boot, seq } = heartbeat;
    const known = this.#known.get(amphoraId);
    const isSuspect = known !== undefined && known.boot === boot && seq <= known.seq;
    if (isSuspect && boot !== '') return 'replayed';
    const shard = shardOf(amphoraId);
    const lane = this.#owners[shard] ?? null;
    const pending = lane?.pending ?? this.#unowned;
    const waiting = pending.get(amphoraId);
    if (waiting && waiting.boot === boot && seq <= waiting.seq) return 'replayed';

    const entry = entryOf(heartbeat, shard, this.#times.nowMs(), isSuspect);
    if (waiting) {
      // What is newer than all we know shows that the suspect before it was a replay: its counters must not count.
      if (!waiting.isSuspect || isSuspect) merge(waiting, entry);
      this.#waitingBytes -= waiting.body.length;
      this.#waitingEntries -= 1;
    }
    this.#put(pending, entry);
    if (!known) this.#known.set(amphoraId, { seq, boot, toldTo: null, high: 0, low: 0 });
    else if (!isSuspect) {
      known.seq = seq;
      known.boot = boot;
    }
    lane?.notify();
    return 'accepted';
  }

  /** Follows a new shard map: what waits goes to the new owners. */
  follow(map: ShardMap): void {
    this.#owners.fill(null);
    for (const { first, last, owner } of map.ranges) {
      if (owner === '') continue;
      this.#owners.fill(this.#laneOf(owner), Math.min(first, SHARD_COUNT), Math.min(last + 1, SHARD_COUNT));
    }
    const moved = this.#takeMoved(null, this.#unowned);
    const current = new Set(this.#owners);
    for (const [owner, { lane, connection }] of this.#lanes) {
      moved.push(...this.#takeMoved(lane, lane.pending));
      if (!current.has(lane)) this.#retire(owner, lane, connection);
    }
    for (const entry of moved) this.#requeue(entry);
  }

  /** Sends what waits, as far as there are owners and time. */
  async drain(deadlineMs: number): Promise<void> {
    await Promise.all([...this.#lanes.values()].map(({ lane }) => lane.drain(deadlineMs)));
    for (const { connection } of this.#lanes.values()) connection.close();
    this.#lanes.clear();
  }

  onSending(entries: readonly Entry[]): void {
    this.#waitingEntries -= entries.length;
    for (const entry of entries) this.#waitingBytes -= entry.body.length;
  }

  needsStatus(entry: Entry, lane: Lane): boolean {
    const known = this.#known.get(entry.amphoraId);
    return known?.toldTo !== lane.owner || known.high !== entry.hash.high || known.low !== entry.hash.low;
  }

  onTaken(entries: readonly Entry[], lane: Lane): void {
    for (const { amphoraId, hash } of entries) {
      const known = this.#known.get(amphoraId);
      if (!known) continue;
      known.toldTo = lane.owner;
      known.high = hash.high;
      known.low = hash.low;
    }
    this.#observer.onBatch('taken', lane.owner);
  }

  onWanted(amphoraIds: readonly string[]): void {
    for (const amphoraId of amphoraIds) {
      const known = this.#known.get(amphoraId);
      if (known) known.toldTo = null;
    }
  }

  onNotOwned(entries: readonly Entry[]): void {
    for (const entry of entries) this.#requeue(entry);
  }

  ownsAny(entries: readonly Entry[], lane: Lane): boolean {
    return entries.some((entry) => this.#owners[entry.shard] === lane);
  }

  /** That they live is told to the new owner; their counters may have been counted already, and must not count twice. */
  onAbandoned(entries: readonly Entry[], lane: Lane): void {
    this.#observer.onBatch('abandoned', lane.owner);
    for (const entry of entries) this.#requeue({ ...entry, counters: [] });
  }

  onRefused(entries: readonly Entry[], error: unknown): void {
    const [first] = entries;
    const owner = first ? this.#owners[first.shard]?.owner : undefined;
    this.#observer.onBatch('refused', owner ?? '', error);
  }

  onRetry(error: unknown, _attempt: number, lane: Lane): void {
    this.#observer.onBatch('retried', lane.owner, error);
  }

  #laneOf(owner: string): Lane {
    const existing = this.#lanes.get(owner);
    if (existing) return existing.lane;
    const connection = this.#connect(owner);
    const sender = { id: this.#senderId, lastNumber: this.#lastNumbers.get(owner) ?? 0n };
    const lane = new Lane(owner, sender, (request) => connection.report(request), this, this.#times);
    this.#lanes.set(owner, { lane, connection });
    return lane;
  }

  #retire(owner: string, lane: Lane, connection: OwnerConnection): void {
    this.#lanes.delete(owner);
    this.#lastNumbers.set(owner, lane.lastNumber);
    lane.drain(0).finally(() => connection.close());
  }

  /** Takes out what waits in the wrong place. */
  #takeMoved(lane: Lane | null, pending: Map<string, Entry>): Entry[] {
    const moved = [...pending.values()].filter((entry) => this.#owners[entry.shard] !== lane);
    for (const entry of moved) pending.delete(entry.amphoraId);
    this.onSending(moved);
    return moved;
  }

  /** Puts back an entry that is older than what may wait by now. */
  #requeue(entry: Entry): void {
    const lane = this.#owners[entry.shard] ?? null;
    const pending = lane?.pending ?? this.#unowned;
    const newer = pending.get(entry.amphoraId);
    if (!newer) this.#put(pending, entry);
    else if (!entry.isSuspect || newer.isSuspect) merge(entry, newer);
    lane?.notify();
  }

  #put(pending: Map<string, Entry>, entry: Entry): void {
    pending.set(entry.amphoraId, entry);
    this.#waitingEntries += 1;
    this.#waitingBytes += entry.body.length;
    const { waitingEntries, waitingBytes } = this.#limits;
    for (const oldest of pending.values()) {
      if (this.#waitingEntries <= waitingEntries && this.#waitingBytes <= waitingBytes) return;
      pending.delete(oldest.amphoraId);
      this.onSending([oldest]);
      this.#counts.add('backlog_full', oldest.datagrams);
    }
  }
}
