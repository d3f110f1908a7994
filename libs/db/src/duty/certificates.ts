import type { Tx } from '../core/database.ts';

/** A living amphora whose agent's certificate runs out soon, or has. */
export interface ExpiringCertificate {
  readonly amphoraId: string;
  /** One of those that it serves, whose turn the flow takes; null: a spare. */
  readonly loadBalancerId: string | null;
  readonly projectId: string;
  readonly isExpired: boolean;
}

/** Found in one round, at most. Source: `cert_rotate_threads` of Octavia, 10. */
const BATCH = 10;
/** After a try that failed an amphora is left alone for so long. */
const REST = `interval '5 minutes'`;

/** Certificates of agents by when they end. */
export class ExpiringCertificates {
  /** Those that end within `bufferMs` and that nobody takes care of, the first to end first. */
  async due(tx: Tx, bufferMs: number): Promise<ExpiringCertificate[]> {
    return tx.query(
      `SELECT a.id AS "amphoraId", (SELECT s.load_balancer_id FROM seat AS s WHERE s.amphora_id = a.id AND s.state <> 'LEFT'
               ORDER BY s.load_balancer_id LIMIT 1) AS "loadBalancerId", a.project_id AS "projectId",
              a.cert_expires_at <= clock_timestamp() AS "isExpired"
         FROM amphora AS a
        WHERE a.deleted_at IS NULL AND a.status IN ('READY', 'ALLOCATED')
          AND a.cert_expires_at < clock_timestamp() + $1 * interval '1 ms'
          AND NOT EXISTS (
            SELECT 1 FROM flow AS f WHERE f.amphora_id = a.id
               AND f.name IN ('amphora.rotate_certificate', 'amphora.failover', 'amphora.delete')
               AND (f.finished_at IS NULL OR f.state <> 'SUCCEEDED' AND f.finished_at > clock_timestamp() - ${REST}))
        ORDER BY a.cert_expires_at, a.id LIMIT ${BATCH}`,
      [bufferMs],
    );
  }
}
