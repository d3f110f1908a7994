import type { Slot } from '@octavia/db';
import { shardOf } from '@octavia/domain';

/** An amphora as the table gives it out. */
export interface Watched {
  readonly id: string;
  /** Those that it serves, by id. */
  readonly loadBalancerIds: readonly string[];
  readonly status: 'READY' | 'ALLOCATED';
}

export interface Timing {
  /** Silence after which an amphora is taken for dead, ms. */
  readonly timeoutMs: number;
  /** What an amphora gets on top for its very first heartbeat, ms. */
  readonly firstHeartbeatGraceMs: number;
}

const NEVER = Number.NEGATIVE_INFINITY;
const NO_PLACE = -1;
const FIRST_CAPACITY = 1024;

/**
 * Every amphora of our shards, by number. Columns of typed arrays: a million amphorae are a hundred bytes each beside their ids,
 * and the search for the silent is one pass over one array. Times are of one monotonic clock.
 */
export class AmphoraTable {
  readonly #timing: Timing;
  readonly #byId = new Map<string, number>();
  readonly #byLoadBalancer = new Map<string, number[]>();
  readonly #free: number[] = [];
  readonly #rows: (Watched | undefined)[] = [];
  readonly #reports: (Uint8Array | undefined)[] = [];
  readonly #hashes: (bigint | undefined)[] = [];
  /** By number, load balancers that it should serve and does not, with since when. Few have any. */
  readonly #mismatches = new Map<number, Map<string, number>>();
  #capacity = 0;
  #heardAt = new Float64Array(0);
  #readyAt = new Float64Array(0);
  #mismatchAt = new Float64Array(0);
  #heldUntil = new Float64Array(0);
  /** When silence is complete; infinite for a number that nobody has. */
  #dueAt = new Float64Array(0);
  #shards = new Uint16Array(0);
  #pages = new Int32Array(0);
  #slots = new Int16Array(0);
  #generations = new Int32Array(0);

  constructor(timing: Timing) {
    this.#timing = timing;
  }

  get size(): number {
    return this.#byId.size;
  }

  /** Number of the amphora, or undefined. Numbers are given again: do not keep one over an `await`. */
  indexOf(id: string): number | undefined {
    return this.#byId.get(id);
  }

  at(index: number): Watched | undefined {
    return this.#rows[index];
  }

  /** Numbers of the amphorae of a load balancer. */
  ofLoadBalancer(loadBalancerId: string): readonly number[] {
    return this.#byLoadBalancer.get(loadBalancerId) ?? [];
  }

  ids(): IterableIterator<string> {
    return this.#byId.keys();
  }

  /**
   * Adds an amphora, or takes over what changed of it. Being allocated begins nothing anew: it was heard as a spare.
   * @param readyAt since when it should have been heard
   */
  put(amphora: Watched, readyAt: number): number {
    const known = this.#byId.get(amphora.id);
    const index = known ?? this.#free.pop() ?? this.#rows.length;
    const before = this.#rows[index];
    this.#rows[index] = amphora;
    if (before?.loadBalancerIds.join() !== amphora.loadBalancerIds.join()) {
      if (before) this.#unlink(before, index);
      for (const id of this.mismatched(index)) {
        if (!amphora.loadBalancerIds.includes(id)) this.setMismatch(index, id, null);
      }
      this.#link(amphora, index);
      this.#hashes[index] = undefined;
      this.#reports[index] = undefined;
    }
    if (known !== undefined) return index;
    if (index >= this.#capacity) this.#grow();
    this.#byId.set(amphora.id, index);
    this.#heardAt[index] = NEVER;
    this.#readyAt[index] = readyAt;
    this.#mismatchAt[index] = Number.POSITIVE_INFINITY;
    this.#heldUntil[index] = NEVER;
    this.#shards[index] = shardOf(amphora.id);
    this.#pages[index] = NO_PLACE;
    this.#schedule(index);
    return index;
  }

  /** Forgets an amphora. Returns the number it had. */
  remove(id: string): number | undefined {
    const index = this.#byId.get(id);
    const row = index === undefined ? undefined : this.#rows[index];
    if (index === undefined || !row) return undefined;
    this.#unlink(row, index);
    this.#byId.delete(id);
    this.#rows[index] = undefined;
    this.#reports[index] = undefined;
    this.#hashes[index] = undefined;
    this.#dueAt[index] = Number.POSITIVE_INFINITY;
    this.#mismatches.delete(index);
    this.#free.push(index);
    return index;
  }

  /** It gave a sign of life at `at`. */
  heard(index: number, at: number): void {
    if (at <= this.heardAt(index)) return;
    this.#heardAt[index] = at;
    this.#schedule(index);
  }

  heardAt(index: number): number {
    return this.#heardAt[index] ?? NEVER;
  }

  /** Since when it talks without serving what it should; infinite: it does serve. */
  mismatchAt(index: number): number {
    return this.#mismatchAt[index] ?? Number.POSITIVE_INFINITY;
  }

  /** Load balancers that it talks without serving. */
  mismatched(index: number): readonly string[] {
    return [...(this.#mismatches.get(index)?.keys() ?? [])];
  }

  /** @param since null: it serves what it should for this load balancer. A mismatch that lasts keeps its beginning. */
  setMismatch(index: number, loadBalancerId: string, since: number | null): void {
    const own = this.#mismatches.get(index) ?? new Map<string, number>();
    if (since === null) own.delete(loadBalancerId);
    else own.set(loadBalancerId, Math.min(since, own.get(loadBalancerId) ?? since));
    if (own.size > 0) this.#mismatches.set(index, own);
    else this.#mismatches.delete(index);
    this.#mismatchAt[index] = Math.min(...own.values());
    this.#schedule(index);
  }

  /** When it was last known to be well: the newest heartbeat, or the beginning of its mismatch. Minus infinity: never. */
  wellAt(index: number): number {
    return Math.min(this.heardAt(index), this.mismatchAt(index));
  }

  readyAt(index: number): number {
    return this.#readyAt[index] ?? 0;
  }

  /** Does not take it for silent before `until`. */
  hold(index: number, until: number): void {
    this.#heldUntil[index] = until;
    this.#schedule(index);
  }

  /** Calls `visit` for each amphora whose silence is complete. One pass; `visit` may change the table. */
  silent(now: number, visit: (index: number) => void): void {
    const end = this.#rows.length;
    for (let index = 0; index < end; index++) {
      if ((this.#dueAt[index] as number) <= now) visit(index);
    }
  }

  /** How many are well, silent, or were never heard. */
  counts(now: number): { alive: number; silent: number; never_heard: number } {
    const counts = { alive: 0, silent: 0, never_heard: 0 };
    for (const index of this.#byId.values()) {
      if (this.heardAt(index) === NEVER) counts.never_heard += 1;
      else if (this.isUnwell(index, now)) counts.silent += 1;
      else counts.alive += 1;
    }
    return counts;
  }

  /** Whether it is not well, so that it would be silent if nobody held it. */
  isUnwell(index: number, now: number): boolean {
    return now - this.wellAt(index) > this.#timing.timeoutMs;
  }

  isFresh(index: number, now: number): boolean {
    return now - this.heardAt(index) <= this.#timing.timeoutMs;
  }

  hash(index: number): bigint | undefined {
    return this.#hashes[index];
  }

  /** The newest report, encoded. */
  report(index: number): Uint8Array | undefined {
    return this.#reports[index];
  }

  setReport(index: number, hash: bigint, report: Uint8Array): void {
    this.#hashes[index] = hash;
    this.#reports[index] = report;
  }

  shard(index: number): number {
    return this.#shards[index] ?? 0;
  }

  place(index: number): Slot | null {
    const page = this.#pages[index] ?? NO_PLACE;
    if (page === NO_PLACE) return null;
    return { page, slot: this.#slots[index] ?? 0, generation: this.#generations[index] ?? 0 };
  }

  setPlace(index: number, { page, slot, generation }: Slot): void {
    this.#pages[index] = page;
    this.#slots[index] = slot;
    this.#generations[index] = generation;
  }

  #schedule(index: number): void {
    const { timeoutMs, firstHeartbeatGraceMs } = this.#timing;
    const heardAt = this.heardAt(index);
    const base = heardAt === NEVER ? this.readyAt(index) + firstHeartbeatGraceMs : this.wellAt(index);
    this.#dueAt[index] = Math.max(base + timeoutMs, this.#heldUntil[index] ?? NEVER);
  }

  #link({ loadBalancerIds }: Watched, index: number): void {
    for (const id of loadBalancerIds) this.#byLoadBalancer.set(id, [...this.ofLoadBalancer(id), index]);
  }

  #unlink({ loadBalancerIds }: Watched, index: number): void {
    for (const id of loadBalancerIds) {
      const left = this.ofLoadBalancer(id).filter((sibling) => sibling !== index);
      if (left.length > 0) this.#byLoadBalancer.set(id, left);
      else this.#byLoadBalancer.delete(id);
    }
  }

  #grow(): void {
    const capacity = Math.max(FIRST_CAPACITY, this.#capacity * 2);
    const wider = <T extends { set(from: T): void }>(column: T, empty: T): T => {
      empty.set(column);
      return empty;
    };
    this.#heardAt = wider(this.#heardAt, new Float64Array(capacity));
    this.#readyAt = wider(this.#readyAt, new Float64Array(capacity));
    this.#mismatchAt = wider(this.#mismatchAt, new Float64Array(capacity));
    this.#heldUntil = wider(this.#heldUntil, new Float64Array(capacity));
    this.#dueAt = wider(this.#dueAt, new Float64Array(capacity));
    this.#shards = wider(this.#shards, new Uint16Array(capacity));
    this.#pages = wider(this.#pages, new Int32Array(capacity));
    this.#slots = wider(this.#slots, new Int16Array(capacity));
    this.#generations = wider(this.#generations, new Int32Array(capacity));
    this.#capacity = capacity;
  }
}
