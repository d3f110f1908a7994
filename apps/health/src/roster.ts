import type { Database, KnownAmphora, Liveness, OwnedRange, StoredLiveness } from '@octavia/db';
import { shardOf } from '@octavia/domain';
import type { Logger } from '@octavia/service';
import type { AmphoraTable } from './amphora-table.ts';
import type { Clock } from './clock.ts';
import { LivenessPages } from './liveness-pages.ts';
import type { ReplayGuard } from './replay.ts';

/** Amphorae that are read at once. */
const BATCH = 10_000;
/** Changed amphorae that wait to be read, at most; beyond, a full comparison finds them. */
const MAX_WAITING = 10_000;
/** A full comparison takes at most this part of the time. */
const SHARE = 20;
const ZERO = '00000000-0000-0000-0000-000000000000';

export interface RosterParts {
  readonly db: Database;
  readonly liveness: Liveness;
  readonly table: AmphoraTable;
  readonly replay: ReplayGuard;
  readonly clock: Clock;
  readonly log: Logger;
  /** From the moment a range is ours until its amphorae may be taken for silent, ms: a flush and a lease. */
  readonly graceMs: number;
  /** Least time between two full comparisons, ms. */
  readonly compareMs: number;
  /** The amphorae of a load balancer changed. */
  readonly onChange: (loadBalancerId: string) => void;
}

/** Knows which amphorae there are: loads them with a range, and follows what is allocated and deleted. */
export class Roster {
  readonly #parts: RosterParts;
  readonly #pages = new Map<number, { range: OwnedRange; pages: LivenessPages }>();
  readonly #waiting = new Set<string>();
  #compareAt = Number.NEGATIVE_INFINITY;
  /** Until when the amphorae of a new range are not judged. */
  #graceUntil = Number.NEGATIVE_INFINITY;

  constructor(parts: RosterParts) {
    this.#parts = parts;
  }

  /** Whether some range is so new that its amphorae had no time to be heard. */
  get isSettling(): boolean {
    return this.#parts.clock() < this.#graceUntil;
  }

  pagesOf(shard: number): LivenessPages | undefined {
    return this.#rangeOf(shard)?.pages;
  }

  pagesOfRange(range: OwnedRange): LivenessPages | undefined {
    return this.#pages.get(range.first)?.pages;
  }

  async gain(range: OwnedRange): Promise<void> {
    const { db, liveness, clock, graceMs } = this.#parts;
    const pages = new LivenessPages(range, await liveness.slots(db.reader, range));
    for (let after = ZERO; ; ) {
      const batch = await liveness.stored(db.reader, after, BATCH);
      const now = clock();
      for (const row of batch) if (isIn(range, row.id)) this.#load(row, pages, now);
      const last = batch.at(-1);
      if (!last || batch.length < BATCH) break;
      after = last.id;
    }
    // Only now is it followed; what changed meanwhile is found by comparing.
    this.#pages.set(range.first, { range, pages });
    this.compareSoon();
    this.#graceUntil = Math.max(this.#graceUntil, clock() + graceMs);
  }

  lose(range: OwnedRange): void {
    this.#pages.delete(range.first);
    for (const id of [...this.#parts.table.ids()]) if (isIn(range, id)) this.#forget(id);
  }

  /** This amphora changed, or was heard without being known. */
  changed(id: string): void {
    if (this.#waiting.size < MAX_WAITING) this.#waiting.add(id);
    else this.compareSoon();
  }

  /** Notifications were lost: compare everything. */
  compareSoon(): void {
    this.#compareAt = Number.NEGATIVE_INFINITY;
  }

  /** Reads what changed; now and then compares everything, because a notification is only a hint. */
  async follow(): Promise<void> {
    const { db, liveness, clock, compareMs } = this.#parts;
    if (this.#pages.size === 0) return;
    const ids = [...this.#waiting];
    this.#waiting.clear();
    if (ids.length > 0) this.#apply(ids, await liveness.knownByIds(db.reader, ids));
    const startedAt = clock();
    if (startedAt < this.#compareAt) return;
    // Set first: what is asked for meanwhile is not lost.
    this.#compareAt = startedAt + compareMs;
    await this.#compare();
    const tookMs = clock() - startedAt;
    if (this.#compareAt > startedAt) this.#compareAt = startedAt + Math.max(compareMs, tookMs * SHARE);
  }

  async #compare(): Promise<void> {
    const { db, liveness, table } = this.#parts;
    const unseen = new Set(table.ids());
    for (let after = ZERO; ; ) {
      const batch = await liveness.known(db.reader, after, BATCH);
      this.#apply([], batch);
      for (const { id } of batch) unseen.delete(id);
      const last = batch.at(-1);
      if (!last || batch.length < BATCH) break;
      after = last.id;
    }
    // Gone, or allocated behind the reader's back: their own rows tell.
    const ids = [...unseen];
    for (let from = 0; from < ids.length; from += BATCH) {
      const some = ids.slice(from, from + BATCH);
      this.#apply(some, await liveness.knownByIds(db.reader, some));
    }
  }

  /** Takes over what `rows` say of `ids`: one that is missing is gone. */
  #apply(ids: readonly string[], rows: readonly KnownAmphora[]): void {
    const now = this.#parts.clock();
    const found = new Set<string>();
    for (const row of rows) {
      found.add(row.id);
      this.#take(row, now);
    }
    for (const id of ids) if (!found.has(id)) this.#forget(id);
  }

  #take(row: KnownAmphora, now: number): void {
    const { table, onChange } = this.#parts;
    const owned = this.#rangeOf(shardOf(row.id));
    if (!owned) return;
    const known = table.indexOf(row.id);
    const before = known === undefined ? undefined : table.at(known);
    const { loadBalancerIds } = row;
    if (before?.status === row.status && before.loadBalancerIds.join() === loadBalancerIds.join()) return;
    const index = table.put({ id: row.id, status: row.status, loadBalancerIds }, now - row.sinceMs);
    if (known === undefined) table.setPlace(index, owned.pages.give(index, row.id));
    for (const id of new Set([...(before?.loadBalancerIds ?? []), ...loadBalancerIds])) onChange(id);
  }

  #load(row: StoredLiveness, pages: LivenessPages, now: number): void {
    const { table } = this.#parts;
    const { id, status, loadBalancerIds } = row;
    const index = table.put({ id, status, loadBalancerIds }, now - row.sinceMs);
    const isSeated = row.place !== null && pages.seat(index, row.place);
    table.setPlace(index, isSeated && row.place ? row.place : pages.give(index, row.id));
    if (row.ageMs !== null) table.heard(index, now - row.ageMs);
  }

  #forget(id: string): void {
    const { table, replay } = this.#parts;
    const known = table.indexOf(id);
    if (known === undefined) return;
    const place = table.place(known);
    const loadBalancerIds = table.at(known)?.loadBalancerIds ?? [];
    if (place) this.pagesOf(table.shard(known))?.leave(id, place);
    table.remove(id);
    replay.forget(known);
    for (const loadBalancerId of loadBalancerIds) this.#parts.onChange(loadBalancerId);
  }

  #rangeOf(shard: number) {
    for (const entry of this.#pages.values()) {
      if (shard >= entry.range.first && shard <= entry.range.last) return entry;
    }
    return undefined;
  }
}

function isIn(range: OwnedRange, id: string): boolean {
  const shard = shardOf(id);
  return shard >= range.first && shard <= range.last;
}
