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
}

/** Counts what lives, in one statement. */
export async function overview(tx: Tx): Promise<Overview> {
  const [row] = await tx.query(
    `SELECT (SELECT id FROM installation) AS "installationId", current_setting('server_version') AS "serverVersion",
       (SELECT count(*)::integer FROM flow WHERE state = 'QUEUED') AS "flowsQueued",
       (SELECT count(*)::integer FROM flow WHERE state = 'RUNNING') AS "flowsRunning",
       (SELECT count(*)::integer FROM amphora WHERE status = 'READY') AS "sparesReady",
       (SELECT count(*)::integer FROM amphora WHERE deleted_at IS NULL) AS amphorae,
       (SELECT count(*)::integer FROM load_balancer WHERE deleted_at IS NULL) AS "loadBalancers"`,
  );
  return row;
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
