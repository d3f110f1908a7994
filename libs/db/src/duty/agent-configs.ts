import type { Tx } from '../core/database.ts';

/** A living amphora whose agent was told something else than the workers' settings are now. */
export interface OutdatedAgent {
  readonly amphoraId: string;
  /** One of those that it serves, whose turn the flow takes; null: a spare. */
  readonly loadBalancerId: string | null;
  readonly projectId: string;
}

/** Found in one round, at most: a new heartbeat key reaches a thousand amphorae in as many rounds as it takes. */
const BATCH = 50;
/** After a try that failed an amphora is left alone for so long. */
const REST = `interval '5 minutes'`;

/** What agents were told, by a digest of it, and what they should be told. */
export class AgentConfigs {
  /** The settings of the worker that was started last. */
  async want(tx: Tx, digest: string): Promise<void> {
    await tx.query(
      `INSERT INTO agent_settings (digest) VALUES ($1)
       ON CONFLICT (only_row) DO UPDATE SET digest = excluded.digest, set_at = clock_timestamp()
         WHERE agent_settings.digest <> excluded.digest`,
      [digest],
    );
  }

  /** Null: no worker has been started yet. */
  async wanted(tx: Tx): Promise<string | null> {
    const [row] = await tx.query('SELECT digest FROM agent_settings');
    return row?.digest ?? null;
  }

  /** The agent has been told. */
  async note(tx: Tx, amphoraId: string, digest: string): Promise<void> {
    await tx.query('UPDATE amphora SET agent_settings = $2 WHERE id = $1', [amphoraId, digest]);
  }

  /** Amphorae that nobody takes care of, the oldest first. */
  async due(tx: Tx): Promise<OutdatedAgent[]> {
    return tx.query(
      `SELECT a.id AS "amphoraId", (SELECT s.load_balancer_id FROM seat AS s WHERE s.amphora_id = a.id AND s.state <> 'LEFT'
               ORDER BY s.load_balancer_id LIMIT 1) AS "loadBalancerId", a.project_id AS "projectId"
         FROM amphora AS a CROSS JOIN agent_settings AS wanted
        WHERE a.deleted_at IS NULL AND a.status IN ('READY', 'ALLOCATED') AND a.agent_settings IS DISTINCT FROM wanted.digest
          AND NOT EXISTS (
            SELECT 1 FROM flow AS f WHERE f.amphora_id = a.id
               AND f.name IN ('amphora.configure', 'amphora.failover', 'amphora.delete')
               AND (f.finished_at IS NULL OR f.state <> 'SUCCEEDED' AND f.finished_at > clock_timestamp() - ${REST}))
        ORDER BY a.id LIMIT ${BATCH}`,
    );
  }
}
