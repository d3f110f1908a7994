import type { Tx } from '../core/database.ts';

/** Amphorae that are not deleted. */
export interface AmphoraCensus {
  readonly byStatus: readonly { readonly status: string; readonly count: number }[];
  /** Until the first certificate of an agent in use runs out, below 0 when it has; null: there is none. */
  readonly certificateSeconds: number | null;
}

/** Counts amphorae, for metrics, in one statement. */
export async function amphoraCensus(tx: Tx): Promise<AmphoraCensus> {
  const rows: { status: string; count: number; certificateSeconds: number | null }[] = await tx.query(
    `SELECT status, count(*)::integer AS count,
       extract(epoch FROM min(cert_expires_at) FILTER (WHERE status IN ('READY', 'ALLOCATED')) - clock_timestamp())::float8
         AS "certificateSeconds"
     FROM amphora WHERE deleted_at IS NULL GROUP BY status`,
  );
  const seconds = rows.flatMap((row) => row.certificateSeconds ?? []);
  return {
    byStatus: rows.map(({ status, count }) => ({ status, count })),
    certificateSeconds: seconds.length > 0 ? Math.min(...seconds) : null,
  };
}
