import type { AmphoraClass } from '@octavia/domain';
import type { Tx } from '../core/database.ts';

/** How the newest builds of spares went. */
export interface BuildHistory {
  /** Failed builds since the last one that succeeded. */
  readonly failures: number;
  /** Milliseconds since the newest of them ended. */
  readonly endedMs: number;
}

/** Builds that are looked at: beyond them the delay has reached its limit anyway. */
const BUILDS_LOOKED_AT = 10;

/** What the spare pool needs to know beyond the amphorae themselves. */
export class Spares {
  async history(tx: Tx): Promise<BuildHistory> {
    const rows: { state: string; endedMs: number }[] = await tx.query(
      `SELECT state, (extract(epoch FROM clock_timestamp() - finished_at) * 1000)::float8 AS "endedMs"
         FROM flow WHERE name = 'amphora.create' AND finished_at IS NOT NULL
        ORDER BY finished_at DESC LIMIT ${BUILDS_LOOKED_AT}`,
    );
    const success = rows.findIndex((row) => row.state === 'SUCCEEDED');
    return { failures: success === -1 ? rows.length : success, endedMs: rows[0]?.endedMs ?? 0 };
  }

  /** Ids of the newest READY spares of a class: the oldest are the ones that a request takes next. */
  async surplus(tx: Tx, wanted: AmphoraClass, computeDriver: string, count: number): Promise<string[]> {
    const rows: { id: string }[] = await tx.query(
      `SELECT id FROM amphora
        WHERE status = 'READY' AND seats_taken = 0 AND compute_flavor = $1 AND image_tag = $2 AND zone = $3
          AND compute_driver = $4
        ORDER BY id DESC LIMIT $5`,
      [wanted.computeFlavor, wanted.imageTag, wanted.zone, computeDriver, count],
    );
    return rows.map((row) => row.id);
  }

  /** Marks those of `ids` that are still READY for deletion; a spare that is just being claimed is left alone. Returns which. */
  async discard(tx: Tx, ids: readonly string[]): Promise<string[]> {
    const rows: { id: string }[] = await tx.query(
      `WITH marked AS (
         UPDATE amphora SET status = 'PENDING_DELETE', updated_at = now()
          WHERE id IN (SELECT id FROM amphora WHERE id = ANY ($1) AND status = 'READY' AND seats_taken = 0
                       FOR UPDATE SKIP LOCKED)
         RETURNING id)
       SELECT id, pg_notify('amphora', id::text) FROM marked`,
      [ids],
    );
    return rows.map((row) => row.id);
  }
}
