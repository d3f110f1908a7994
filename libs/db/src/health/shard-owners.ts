import { Unavailable } from '@octavia/domain';
import type { Tx } from '../core/database.ts';

/** A range of shards, both ends included, held by a lease. The epoch names this holding of it: it grows with each new owner. */
export interface OwnedRange {
  readonly first: number;
  readonly last: number;
  readonly epoch: bigint;
}

/** Who owns a range. */
export interface ShardRange extends OwnedRange {
  /** host:port of the owner's gRPC server. */
  readonly owner: string;
}

/** Another process has taken the range over: this one must forget it, its writes change nothing any more. */
export class ShardsLost extends Unavailable {
  constructor(range: OwnedRange) {
    super(
      'SHARDS_LOST',
      `Shards ${range.first} to ${range.last} have another owner now. Look at the shard map again.`,
      { first: String(range.first), last: String(range.last), epoch: String(range.epoch) },
    );
  }
}

interface Row {
  readonly first: number;
  readonly last: number;
  readonly epoch: string;
}

/** Leases of shard ranges, on the database's clock. Every change is told on the channel `shard_map`. */
export class ShardOwners {
  /**
   * Takes the ranges that are free or whose lease ran out. At its start a process also takes those that name its own address:
   * only one process can listen there, so they are from its previous life.
   */
  async claim(tx: Tx, owner: string, leaseMs: number, { restarted = false } = {}): Promise<OwnedRange[]> {
    const rows: Row[] = await tx.query(
      `WITH claimed AS (
         UPDATE shard_owner
            SET owner = $1, epoch = epoch + 1, lease_expires_at = clock_timestamp() + $2 * interval '1 millisecond'
          WHERE owner IS NULL OR lease_expires_at < clock_timestamp() OR ($3 AND owner = $1)
         RETURNING first, last, epoch)
       SELECT claimed.*, pg_notify('shard_map', $1) FROM claimed ORDER BY first`,
      [owner, leaseMs, restarted],
    );
    return rows.map(toRange);
  }

  /** Renews the leases of `ranges`. Returns those that are still ours; the others are lost. */
  async renew(tx: Tx, ranges: readonly OwnedRange[], leaseMs: number): Promise<OwnedRange[]> {
    const rows: Row[] = await tx.query(
      `WITH renewed AS (
         UPDATE shard_owner AS s SET lease_expires_at = clock_timestamp() + $3 * interval '1 millisecond'
           FROM unnest($1::int[], $2::bigint[]) AS mine (first, epoch)
          WHERE s.first = mine.first AND s.epoch = mine.epoch AND s.owner IS NOT NULL
         RETURNING s.first, s.last, s.epoch)
       SELECT * FROM renewed ORDER BY first`,
      [ranges.map((range) => range.first), ranges.map((range) => String(range.epoch)), leaseMs],
    );
    return rows.map(toRange);
  }

  /** Gives ranges back, so that another owner need not wait for the lease to run out. */
  async release(tx: Tx, ranges: readonly OwnedRange[]): Promise<void> {
    await tx.query(
      `WITH released AS (
         UPDATE shard_owner AS s SET owner = NULL, lease_expires_at = NULL
           FROM unnest($1::int[], $2::bigint[]) AS mine (first, epoch)
          WHERE s.first = mine.first AND s.epoch = mine.epoch
         RETURNING s.first)
       SELECT pg_notify('shard_map', '') FROM released`,
      [ranges.map((range) => range.first), ranges.map((range) => String(range.epoch))],
    );
  }

  /** Who owns what. A range without owner is left out. */
  async map(tx: Tx): Promise<ShardRange[]> {
    const rows: (Row & { owner: string })[] = await tx.query(
      'SELECT first, last, epoch, owner FROM shard_owner WHERE owner IS NOT NULL ORDER BY first',
    );
    return rows.map((row) => ({ ...toRange(row), owner: row.owner }));
  }

  /**
   * Makes the rest of the transaction valid only for the owner of `range`: nobody can take the range over until it ends.
   * Every write of an owner begins with this.
   * @throws ShardsLost
   */
  async hold(tx: Tx, range: OwnedRange): Promise<void> {
    const rows = await tx.query(
      'SELECT 1 FROM shard_owner WHERE first = $1 AND epoch = $2 AND owner IS NOT NULL FOR SHARE',
      [range.first, String(range.epoch)],
    );
    if (rows.length === 0) throw new ShardsLost(range);
  }
}

function toRange(row: Row): OwnedRange {
  return { first: row.first, last: row.last, epoch: BigInt(row.epoch) };
}
