import type { ObjectKind, OperatingStatus } from '@octavia/domain';
import type { Tx } from '../core/database.ts';

/** What the data plane says of one object. */
export interface ObjectStatus {
  readonly objectId: string;
  readonly objectKind: ObjectKind;
  readonly status: OperatingStatus;
}

/** Operating statuses: a row for each object of which the data plane has said something. No row: OFFLINE. */
export class OperatingStatuses {
  /** Object id to status, of everything in a load balancer. */
  async of(tx: Tx, loadBalancerId: string): Promise<Map<string, OperatingStatus>> {
    const rows: { id: string; status: OperatingStatus }[] = await tx.query(
      'SELECT object_id AS id, status FROM operating_status WHERE load_balancer_id = $1',
      [loadBalancerId],
    );
    return new Map(rows.map((row) => [row.id, row.status]));
  }

  /** Writes what differs, in one statement. Returns what did. The caller holds the lock of the load balancer. */
  async write(tx: Tx, loadBalancerId: string, statuses: readonly ObjectStatus[]): Promise<ObjectStatus[]> {
    if (statuses.length === 0) return [];
    return tx.query(
      `INSERT INTO operating_status AS s (object_id, load_balancer_id, object_kind, status, updated_at)
       SELECT id, $1, kind, status, clock_timestamp() FROM unnest($2::uuid[], $3::text[], $4::text[]) AS said (id, kind, status)
       ON CONFLICT (object_id) DO UPDATE SET status = excluded.status, updated_at = excluded.updated_at
         WHERE s.status <> excluded.status
       RETURNING object_id AS "objectId", object_kind AS "objectKind", status`,
      [
        loadBalancerId,
        statuses.map((one) => one.objectId),
        statuses.map((one) => one.objectKind),
        statuses.map((one) => one.status),
      ],
    );
  }

  /** Forgets objects of the load balancer that are not among `objectIds` any more. */
  async keepOnly(tx: Tx, loadBalancerId: string, objectIds: readonly string[]): Promise<void> {
    await tx.query('DELETE FROM operating_status WHERE load_balancer_id = $1 AND NOT object_id = ANY ($2)', [
      loadBalancerId,
      objectIds,
    ]);
  }
}
