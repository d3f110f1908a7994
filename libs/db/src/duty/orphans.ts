import type { SeatKey } from '../amphora/index.ts';
import type { Tx } from '../core/database.ts';

/** Something that a row says is there outside. */
export interface RecordedResource {
  readonly kind: string;
  readonly name: string;
  readonly driver: string;
  readonly amphoraId: string | null;
  readonly loadBalancerId: string | null;
  readonly ageMs: number;
  /** GONE: there is no such amphora, or it is DELETED. LIVING: it serves, or is ready to. CHANGING: something is done with it just now. */
  readonly amphora: 'GONE' | 'LIVING' | 'CHANGING';
  /** Of its amphora, while its row is kept; null: not known. */
  readonly computeId: string | null;
}

/** A secret of an amphora that is gone. */
export interface OrphanedSecret {
  readonly kind: string;
  readonly amphoraId: string;
  readonly ageMs: number;
}

/** Records that one search looks at, at most. */
const MOST_RECORDS = 10_000;
/** Milliseconds since a time. */
const age = (column: string) => `(extract(epoch FROM clock_timestamp() - ${column}) * 1000)::float8`;

/**
 * Tells what outside belongs to nobody. Rows are written before what they are of is made, and DELETED only after it is gone: so list
 * what is outside first, and ask here then.
 */
export class Orphans {
  /** Those of `ids` that are no amphora, or one that is DELETED. */
  async unknownAmphorae(tx: Tx, ids: readonly string[]): Promise<string[]> {
    return this.#unknown(tx, 'amphora', ids);
  }

  /** Those of `ids` that are no load balancer, or one that is DELETED. */
  async unknownLoadBalancers(tx: Tx, ids: readonly string[]): Promise<string[]> {
    return this.#unknown(tx, 'load_balancer', ids);
  }

  /** Those of `pairs` where the load balancer has no seat on the amphora, or has left it. */
  async unseated(tx: Tx, pairs: readonly SeatKey[]): Promise<SeatKey[]> {
    if (pairs.length === 0) return [];
    return tx.query(
      `SELECT amphora_id AS "amphoraId", load_balancer_id AS "loadBalancerId"
         FROM unnest($1::uuid[], $2::uuid[]) AS outside (amphora_id, load_balancer_id)
        WHERE NOT EXISTS (SELECT 1 FROM seat AS s WHERE s.amphora_id = outside.amphora_id
                            AND s.load_balancer_id = outside.load_balancer_id AND s.state <> 'LEFT')`,
      [pairs.map(({ amphoraId }) => amphoraId), pairs.map(({ loadBalancerId }) => loadBalancerId)],
    );
  }

  /** What rows say is there outside, the oldest first. Not what is just being made. */
  async recorded(tx: Tx): Promise<RecordedResource[]> {
    return tx.query(
      `SELECT r.kind, r.name, r.driver, r.amphora_id AS "amphoraId", r.load_balancer_id AS "loadBalancerId",
         ${age('r.created_at')} AS "ageMs", a.compute_id AS "computeId",
         CASE WHEN a.id IS NULL OR a.deleted_at IS NOT NULL THEN 'GONE'
           WHEN a.status IN ('READY', 'ALLOCATED') AND NOT EXISTS (
             SELECT 1 FROM seat s JOIN load_balancer lb ON lb.id = s.load_balancer_id
              WHERE s.amphora_id = a.id AND s.state <> 'LEFT' AND lb.provisioning_status <> 'ACTIVE') THEN 'LIVING'
           ELSE 'CHANGING' END AS amphora
       FROM external_resource r LEFT JOIN amphora a ON a.id = r.amphora_id
       WHERE r.state <> 'CREATING' OR a.id IS NULL OR a.deleted_at IS NOT NULL
       ORDER BY r.created_at LIMIT ${MOST_RECORDS}`,
    );
  }

  /** Forgets a record: what it was of is gone for certain. */
  async forget(tx: Tx, kind: string, name: string): Promise<void> {
    await tx.query('DELETE FROM external_resource WHERE kind = $1 AND name = $2', [kind, name]);
  }

  /** Secrets of amphorae that are gone. */
  async secrets(tx: Tx): Promise<OrphanedSecret[]> {
    return tx.query(
      `SELECT kind, owner_id AS "amphoraId", ${age('created_at')} AS "ageMs" FROM secret
        WHERE kind LIKE 'amphora%'
          AND NOT EXISTS (SELECT 1 FROM amphora WHERE amphora.id = secret.owner_id AND amphora.deleted_at IS NULL)
        ORDER BY created_at LIMIT ${MOST_RECORDS}`,
    );
  }

  async forgetSecret(tx: Tx, kind: string, amphoraId: string): Promise<void> {
    await tx.query('DELETE FROM secret WHERE kind = $1 AND owner_id = $2', [kind, amphoraId]);
  }

  /** Keeps how many a search has found. Kinds of earlier searches stay, with 0. */
  async note(tx: Tx, counts: Readonly<Record<string, number>>): Promise<void> {
    await tx.query(
      `WITH found AS (SELECT key AS kind, value::integer AS count FROM jsonb_each_text($1::jsonb)),
       cleared AS (UPDATE orphan_count SET count = 0, found_at = clock_timestamp() WHERE kind NOT IN (SELECT kind FROM found))
       INSERT INTO orphan_count (kind, count) SELECT kind, count FROM found
       ON CONFLICT (kind) DO UPDATE SET count = excluded.count, found_at = clock_timestamp()`,
      [JSON.stringify(counts)],
    );
  }

  /** What the newest search found, by kind. */
  async counts(tx: Tx): Promise<{ readonly kind: string; readonly count: number }[]> {
    return tx.query('SELECT kind, count FROM orphan_count ORDER BY kind');
  }

  async #unknown(tx: Tx, table: 'amphora' | 'load_balancer', ids: readonly string[]): Promise<string[]> {
    if (ids.length === 0) return [];
    const rows: { id: string }[] = await tx.query(
      `SELECT id FROM unnest($1::uuid[]) AS outside (id)
        WHERE NOT EXISTS (SELECT 1 FROM ${table} AS t WHERE t.id = outside.id AND t.deleted_at IS NULL)`,
      [ids],
    );
    return rows.map(({ id }) => id);
  }
}
