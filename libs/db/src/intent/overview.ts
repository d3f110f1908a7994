import type { Tx } from '../core/database.ts';

/** What there is in the whole installation. */
export interface Overview {
  /** Null: the installation has no id yet. */
  readonly installationId: string | null;
  /** Such as 18.4. */
  readonly serverVersion: string;
  readonly flowsQueued: number;
  readonly flowsRunning: number;
  readonly sparesReady: number;
  readonly amphorae: number;
  readonly loadBalancers: number;
  /** Seconds for which the flow that is due the longest has waited for a worker; 0: none waits. */
  readonly oldestQueuedSeconds: number;
}

/** Counts what lives, in one statement. */
export async function overview(tx: Tx): Promise<Overview> {
  const [row] = await tx.query(
    `SELECT (SELECT id FROM installation) AS "installationId", current_setting('server_version') AS "serverVersion",
       (SELECT count(*)::integer FROM flow WHERE state = 'QUEUED') AS "flowsQueued",
       (SELECT count(*)::integer FROM flow WHERE state = 'RUNNING') AS "flowsRunning",
       (SELECT count(*)::integer FROM amphora WHERE status = 'READY') AS "sparesReady",
       (SELECT count(*)::integer FROM amphora WHERE deleted_at IS NULL) AS amphorae,
       (SELECT count(*)::integer FROM load_balancer WHERE deleted_at IS NULL) AS "loadBalancers",
       (SELECT coalesce(floor(extract(epoch FROM clock_timestamp() - min(run_at))), 0)::integer FROM flow
        WHERE state = 'QUEUED' AND run_at <= clock_timestamp()) AS "oldestQueuedSeconds"`,
  );
  return row;
}

/** How many amphorae that are to send heartbeats were heard when. */
export interface HeartbeatCounts {
  /** Within the time-out. */
  readonly fresh: number;
  readonly silent: number;
  readonly never: number;
}

/** Counts spares and serving amphorae by when they were heard last. @param timeoutMs silence that is no more fresh */
export async function heartbeatCounts(tx: Tx, timeoutMs: number): Promise<HeartbeatCounts> {
  const [row] = await tx.query(
    `SELECT count(*) FILTER (WHERE age_ms <= $1)::integer AS fresh, count(*) FILTER (WHERE age_ms > $1)::integer AS silent,
       count(*) FILTER (WHERE age_ms IS NULL)::integer AS never
     FROM (
       SELECT CASE WHEN p.generations[s.slot + 1] = s.generation AND p.ages_ms[s.slot + 1] >= 0
         THEN extract(epoch FROM clock_timestamp() - p.written_at) * 1000 + p.ages_ms[s.slot + 1] END AS age_ms
       FROM amphora a LEFT JOIN liveness_slot s ON s.amphora_id = a.id LEFT JOIN liveness_page p ON p.page = s.page
       WHERE a.status IN ('READY', 'ALLOCATED') AND a.deleted_at IS NULL) AS heard`,
    [timeoutMs],
  );
  return row;
}

/** The amphora whose certificate runs out first; null: none has one. */
export async function firstToExpire(tx: Tx): Promise<{ readonly amphoraId: string; readonly expiresAt: Date } | null> {
  const [row] = await tx.query(
    `SELECT id AS "amphoraId", cert_expires_at AS "expiresAt" FROM amphora
     WHERE deleted_at IS NULL AND cert_expires_at IS NOT NULL ORDER BY cert_expires_at LIMIT 1`,
  );
  return row ?? null;
}

/** By amphora, when its last heartbeat arrived. Those that were never heard have no entry. */
export async function lastHeartbeats(tx: Tx, amphoraIds: readonly string[]): Promise<Map<string, Date>> {
  const rows: { id: string; at: Date }[] = await tx.query(
    `SELECT s.amphora_id AS id, p.written_at - p.ages_ms[s.slot + 1] * interval '1 ms' AS at
     FROM liveness_slot s JOIN liveness_page p ON p.page = s.page
     WHERE s.amphora_id = ANY ($1) AND p.generations[s.slot + 1] = s.generation AND p.ages_ms[s.slot + 1] >= 0`,
    [amphoraIds],
  );
  return new Map(rows.map(({ id, at }) => [id, at]));
}
