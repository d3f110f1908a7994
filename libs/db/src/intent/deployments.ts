import type { Deployment } from '@octavia/domain';
import type { Tx } from '../core/database.ts';

/** What the drivers of this deployment can do. The worker writes it at its start, the gateway reads it. */
export class Deployments {
  /** The last worker that started is believed: all workers of a deployment have the same drivers. */
  async put(tx: Tx, { topologies, reachesLoopback, hostAddress }: Deployment): Promise<void> {
    await tx.query(
      `INSERT INTO deployment (topologies, reaches_loopback, host_address) VALUES ($1, $2, $3)
       ON CONFLICT (only_row) DO UPDATE SET topologies = excluded.topologies, reaches_loopback = excluded.reaches_loopback,
         host_address = excluded.host_address, updated_at = now()`,
      [topologies, reachesLoopback, hostAddress],
    );
  }

  /** Null: no worker has started yet. */
  async get(tx: Tx): Promise<Deployment | null> {
    const [row] = await tx.query(
      `SELECT topologies, reaches_loopback AS "reachesLoopback", host(host_address) AS "hostAddress" FROM deployment`,
    );
    return row ?? null;
  }
}
