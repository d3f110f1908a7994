import type { Tx } from '../core/database.ts';

/** Something outside that we make: written down before it is made, so that it is found when we stop half-way. */
export interface ExternalResource {
  readonly kind: 'instance' | 'port';
  /** Derived from our ids. */
  readonly name: string;
  readonly driver: string;
  readonly amphoraId: string;
  readonly loadBalancerId: string | null;
  readonly flowId: string;
}

/** What exists outside because of us, or may exist. */
export class ExternalResources {
  /** Before it is made. */
  async announce(tx: Tx, resource: ExternalResource): Promise<void> {
    await tx.query(
      `INSERT INTO external_resource (kind, name, driver, amphora_id, load_balancer_id, flow_id, state)
       VALUES ($1, $2, $3, $4, $5, $6, 'CREATING')
       ON CONFLICT (kind, name) DO UPDATE SET flow_id = excluded.flow_id, updated_at = now()`,
      [resource.kind, resource.name, resource.driver, resource.amphoraId, resource.loadBalancerId, resource.flowId],
    );
  }

  /** It is there. */
  async confirm(tx: Tx, kind: ExternalResource['kind'], name: string): Promise<void> {
    await tx.query(
      `UPDATE external_resource SET state = 'PRESENT', updated_at = now() WHERE kind = $1 AND name = $2 AND state = 'CREATING'`,
      [kind, name],
    );
  }

  /** Nobody could reach it to remove it: it is an orphan once the row of its amphora is DELETED. */
  async leave(tx: Tx, resource: ExternalResource): Promise<void> {
    await tx.query(
      `INSERT INTO external_resource (kind, name, driver, amphora_id, load_balancer_id, flow_id, state)
       VALUES ($1, $2, $3, $4, $5, $6, 'DELETING')
       ON CONFLICT (kind, name) DO UPDATE SET state = 'DELETING', flow_id = excluded.flow_id, updated_at = now()`,
      [resource.kind, resource.name, resource.driver, resource.amphoraId, resource.loadBalancerId, resource.flowId],
    );
  }

  /** Everything of an amphora is gone for certain. */
  async forgetAmphora(tx: Tx, amphoraId: string): Promise<void> {
    await tx.query('DELETE FROM external_resource WHERE amphora_id = $1', [amphoraId]);
  }
}
