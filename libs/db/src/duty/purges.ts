import type { Tx } from '../core/database.ts';

/** How long what is over is kept, in milliseconds. */
export interface Retention {
  readonly amphoraMs: number;
  readonly loadBalancerMs: number;
  readonly flowMs: number;
  readonly eventMs: number;
  readonly idempotencyMs: number;
  readonly statisticsMs: number;
}

interface Purge {
  readonly table: string;
  /** Which rows may go; `$1` is the age in milliseconds. */
  readonly where: string;
  readonly ageMs: (retention: Retention) => number;
  /** Statement that keeps what is to be known of the rows in `gone`. */
  readonly note?: string;
  /** Found by comparing tables, not by an index on an age: looked for less often. */
  readonly isLeftover?: true;
}

const ago = `clock_timestamp() - $1 * interval '1 ms'`;
/** Leftovers of what is gone already: only as long as a transaction or a reader may still have them in hand. */
const SOON_MS = 600_000;
/** Newest revisions of a load balancer that stay, however old: what an operator compares with, or goes back to. */
const REVISIONS_KEPT = 1_000;

/**
 * Everything that grows, and when its rows go. A load balancer takes its children, revisions, addresses and statuses along.
 * Children of other tables come first where nothing cascades.
 */
const PURGES: readonly Purge[] = [
  { table: 'load_balancer', where: `deleted_at < ${ago}`, ageMs: (keep) => keep.loadBalancerMs },
  { table: 'amphora', where: `deleted_at < ${ago}`, ageMs: (keep) => keep.amphoraMs },
  { table: 'flow', where: `finished_at < ${ago}`, ageMs: (keep) => keep.flowMs },
  {
    table: 'event',
    where: `created_at < ${ago}`,
    ageMs: (keep) => keep.eventMs,
    // Readers who were away for longer must learn that they missed some: in the same transaction.
    note: `UPDATE event_horizon AS h SET xact = newest.xact, id = newest.id
             FROM (SELECT xact, id FROM gone ORDER BY xact DESC, id DESC LIMIT 1) AS newest
            WHERE (h.xact, h.id) < (newest.xact, newest.id)`,
  },
  {
    // A load balancer may live and change for years. What no amphora serves yet is among its newest.
    table: 'revision',
    where: `created_at < ${ago} AND number <= (SELECT desired_revision - ${REVISIONS_KEPT} FROM load_balancer
                                               WHERE load_balancer.id = target.load_balancer_id)`,
    ageMs: (keep) => keep.eventMs,
  },
  { table: 'idempotency_record', where: `created_at < ${ago}`, ageMs: (keep) => keep.idempotencyMs },
  {
    // Of listeners that are gone: those of an amphora that was replaced are part of its listener's sums.
    table: 'listener_statistics',
    where: `updated_at < ${ago} AND NOT EXISTS (SELECT 1 FROM listener WHERE listener.id = target.listener_id)`,
    ageMs: (keep) => keep.statisticsMs,
  },
  // A sender repeats a batch for seconds at most, and has another id after its restart.
  { table: 'statistics_batch', where: `updated_at < ${ago}`, ageMs: () => 86_400_000 },
  {
    table: 'secret',
    where: `created_at < ${ago} AND kind LIKE 'amphora%'
      AND NOT EXISTS (SELECT 1 FROM amphora WHERE amphora.id = target.owner_id AND amphora.deleted_at IS NULL)`,
    ageMs: () => SOON_MS,
    isLeftover: true,
  },
  // Rested long enough, or of a load balancer that was expunged.
  {
    table: 'vip_address',
    where: `load_balancer_id IS NULL AND coalesce(free_at, ${ago}) <= clock_timestamp()`,
    ageMs: () => 0,
  },
  {
    table: 'liveness_slot',
    where: `NOT EXISTS (SELECT 1 FROM amphora WHERE amphora.id = target.amphora_id
                          AND (amphora.deleted_at IS NULL OR amphora.deleted_at > ${ago}))`,
    ageMs: () => SOON_MS,
    isLeftover: true,
  },
  {
    // Nobody starts a flow for what has no row any more; the turn of anything else may be wanted at any time.
    table: 'turn',
    where: `holder IS NULL AND half_done IS NULL AND $1 >= 0
      AND NOT EXISTS (SELECT 1 FROM flow WHERE flow.turn_key = target.key)
      AND NOT EXISTS (SELECT 1 FROM load_balancer WHERE load_balancer.id = target.key)
      AND NOT EXISTS (SELECT 1 FROM amphora WHERE amphora.id = target.key)`,
    ageMs: () => 0,
    isLeftover: true,
  },
];

/** One retention and purge for everything that grows. */
export class Purges {
  /** Tables whose rows go by their age, in order. */
  readonly aged: readonly string[] = PURGES.filter((purge) => !purge.isLeftover).map((purge) => purge.table);
  /** Tables whose rows go because what they belong to is gone. */
  readonly leftovers: readonly string[] = PURGES.filter((purge) => purge.isLeftover).map((purge) => purge.table);

  /** Removes at most `limit` rows of a table that are old enough. Rows that somebody has locked wait. Returns how many went. */
  async purge(tx: Tx, table: string, retention: Retention, limit: number): Promise<number> {
    const purge = PURGES.find((one) => one.table === table);
    if (!purge) throw new Error(`There is no purge of ${table}.`);
    const remove = `DELETE FROM ${table} WHERE ctid = ANY (ARRAY(
      SELECT target.ctid FROM ${table} AS target WHERE ${purge.where} LIMIT $2 FOR UPDATE SKIP LOCKED))`;
    const values = [purge.ageMs(retention), limit];
    if (!purge.note) {
      const [, count] = await tx.query(remove, values);
      return count;
    }
    const [row] = await tx.query(
      `WITH gone AS (${remove} RETURNING *), noted AS (${purge.note}) SELECT count(*)::integer AS count FROM gone`,
      values,
    );
    return row.count;
  }
}
