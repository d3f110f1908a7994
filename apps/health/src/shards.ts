import type { Database, OwnedRange, ShardOwners } from '@octavia/db';
import type { Logger } from '@octavia/service';
import type { Clock } from './clock.ts';
import type { Sight } from './sight.ts';

interface Holding {
  readonly range: OwnedRange;
  /** When the lease runs out at the latest, by our clock: counted from before it was asked for. */
  validUntil: number;
  /** Whether everything about the range is loaded. */
  isReady: boolean;
}

export interface ShardsParts {
  readonly db: Database;
  readonly owners: ShardOwners;
  readonly sight: Sight;
  readonly clock: Clock;
  readonly log: Logger;
  /** host:port where heartbeats for our shards are to be sent. */
  readonly address: () => string;
  readonly leaseMs: number;
  /** Loads what is known of a range; heartbeats are taken once it returns. */
  readonly onGained: (range: OwnedRange) => Promise<void>;
  readonly onLost: (range: OwnedRange) => void;
}

/** The shards that this process owns, as far as it knows: a lost lease shows at the next write at the latest. */
export class Shards {
  readonly #parts: ShardsParts;
  readonly #held = new Map<number, Holding>();
  #hasClaimed = false;
  #loading: Promise<void> = Promise.resolve();

  constructor(parts: ShardsParts) {
    this.#parts = parts;
  }

  /** The range of a shard that is ours and loaded; null when heartbeats for it are not to be taken. */
  ownerOf(shard: number): OwnedRange | null {
    for (const { range, validUntil, isReady } of this.#held.values()) {
      if (shard < range.first || shard > range.last) continue;
      return isReady && this.#parts.clock() < validUntil ? range : null;
    }
    return null;
  }

  /** Ranges that are ours and loaded. */
  ranges(): OwnedRange[] {
    return [...this.#held.values()].filter((holding) => holding.isReady).map((holding) => holding.range);
  }

  /** Renews what is ours and takes what is free. Call it a few times per lease. */
  async keep(): Promise<void> {
    const { db, owners, leaseMs, clock, log, sight, address } = this.#parts;
    const askedAt = clock();
    try {
      const before = [...this.#held.values()].map((holding) => holding.range);
      const kept = before.length === 0 ? [] : await owners.renew(db.reader, before, leaseMs);
      for (const range of before) {
        const holding = this.#held.get(range.first);
        if (kept.some((one) => one.first === range.first)) {
          if (holding) holding.validUntil = askedAt + leaseMs;
        } else this.lose(range);
      }
      const gained = await owners.claim(db.reader, address(), leaseMs, { restarted: !this.#hasClaimed });
      this.#hasClaimed = true;
      sight.databaseAnswered();
      for (const range of gained) this.#gain(range, askedAt + leaseMs);
    } catch (error) {
      sight.databaseFailed();
      log.warn({ err: error }, 'the lease of our shards was not renewed');
    }
  }

  /** A write showed that the range has another owner. */
  lose(range: OwnedRange): void {
    const holding = this.#held.get(range.first);
    if (holding?.range.epoch !== range.epoch) return;
    this.#held.delete(range.first);
    this.#parts.log.warn({ first: range.first, last: range.last }, 'shards have another owner now');
    this.#parts.onLost(range);
  }

  /** Gives everything back, so that another process takes it at once. */
  async release(): Promise<void> {
    const ranges = [...this.#held.values()].map((holding) => holding.range);
    this.#held.clear();
    if (ranges.length > 0) await this.#parts.owners.release(this.#parts.db.reader, ranges);
  }

  /** Resolves when everything that was gained until now is loaded. */
  loaded(): Promise<void> {
    return this.#loading;
  }

  /** Loading may take longer than a lease, so it runs beside the renewals; one after the other, because they share a table. */
  #gain(range: OwnedRange, validUntil: number): void {
    const holding: Holding = { range, validUntil, isReady: false };
    this.#held.set(range.first, holding);
    this.#loading = this.#loading.then(() => this.#load(holding));
  }

  async #load(holding: Holding): Promise<void> {
    const { range } = holding;
    const { log, onGained, onLost, sight } = this.#parts;
    const isHeld = (): boolean => this.#held.get(range.first) === holding;
    try {
      if (!isHeld()) return;
      await onGained(range);
      if (isHeld()) {
        holding.isReady = true;
        log.info({ first: range.first, last: range.last, epoch: String(range.epoch) }, 'shards are ours');
        return;
      }
    } catch (error) {
      sight.databaseFailed();
      log.warn({ err: error }, 'shards could not be loaded');
      // Not renewed any more, so the lease runs out and the next claim tries again.
      if (isHeld()) this.#held.delete(range.first);
    }
    onLost(range);
  }
}
