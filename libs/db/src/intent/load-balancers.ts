import { begin, type Change, EtagMismatch, etagOf, type LoadBalancer, NotFound } from '@octavia/domain';
import type { Tx } from '../core/database.ts';
import type { ChangedBy } from './revisions.ts';
import { type New, tables } from './table.ts';

const table = tables.load_balancer;

/** Whose objects are visible: those of one project, or with null those of all. */
export type Scope = string | null;

/** The load balancers themselves: what is below them has repositories of its own. */
export class LoadBalancers {
  /** Notes what the network service gave: the address, and its network and port where they were not known. */
  async setVip(
    tx: Tx,
    id: string,
    vip: { readonly address: string; readonly networkId: string; readonly portId: string | null },
  ): Promise<void> {
    await tx.query(
      `UPDATE load_balancer SET vip_address = $2, vip_network_id = coalesce(vip_network_id, $3),
         vip_port_id = coalesce(vip_port_id, $4)
       WHERE id = $1`,
      [id, vip.address, vip.networkId, vip.portId],
    );
  }

  /** Its VIP address is allocated before, in the same transaction. */
  insert(tx: Tx, loadBalancer: New<LoadBalancer>): Promise<LoadBalancer> {
    return table.insert(tx, loadBalancer);
  }

  /** @throws NotFound also for one that is DELETED or outside of the scope */
  async get(tx: Tx, id: string, scope: Scope): Promise<LoadBalancer> {
    const [row] = await tx.query(
      `SELECT ${table.columns()} FROM load_balancer
       WHERE id = $1 AND deleted_at IS NULL AND ($2::text IS NULL OR project_id = $2)`,
      [id, scope],
    );
    if (!row) throw new NotFound('load balancer', id);
    return table.read(row);
  }

  /**
   * Locks the row, which makes all changes to one load balancer take turns. First lock of every transaction that needs more
   * than one. Returns null when there is no row; a DELETED one is returned.
   */
  async lock(tx: Tx, id: string): Promise<LoadBalancer | null> {
    const [row] = await tx.query(`SELECT ${table.columns()} FROM load_balancer WHERE id = $1 FOR UPDATE`, [id]);
    return row ? table.read(row) : null;
  }

  /** As `lock`, for a caller. @throws NotFound also for one that is DELETED or outside of the scope */
  async lockVisible(tx: Tx, id: string, scope: Scope): Promise<LoadBalancer> {
    const loadBalancer = await this.lock(tx, id);
    const isVisible = loadBalancer && (scope === null || loadBalancer.projectId === scope);
    if (!isVisible || loadBalancer.provisioningStatus === 'DELETED') throw new NotFound('load balancer', id);
    return loadBalancer;
  }

  /**
   * Locks the load balancer and returns it as it is once `change` is accepted: pending, one revision further. Nothing is
   * written yet: `Revisions.append` does that.
   * @throws NotFound, EtagMismatch, LoadBalancerBeingDeleted
   */
  async begin(tx: Tx, change: Change, id: string, scope: Scope, etag = ''): Promise<LoadBalancer> {
    const loadBalancer = await this.lockVisible(tx, id, scope);
    assertEtag(loadBalancer, etag);
    return begin(change, loadBalancer);
  }

  /** Writes new values of the load balancer itself. */
  async update(tx: Tx, begun: LoadBalancer, fields: Partial<LoadBalancer>, by: ChangedBy): Promise<LoadBalancer> {
    const { author, requestId } = by;
    const written = { ...fields, author, requestId, revision: begun.desiredRevision, fault: null };
    const updated = await table.update(tx, begun.id, written);
    if (!updated) throw new NotFound('load balancer', begun.id);
    return { ...updated, provisioningStatus: begun.provisioningStatus, desiredRevision: begun.desiredRevision };
  }

  /** Whether it has listeners or pools, those that are being deleted left out. */
  async hasChildren(tx: Tx, id: string): Promise<boolean> {
    const [row] = await tx.query(
      `SELECT EXISTS (SELECT 1 FROM listener WHERE load_balancer_id = $1 AND provisioning_status <> 'PENDING_DELETE')
           OR EXISTS (SELECT 1 FROM pool WHERE load_balancer_id = $1 AND provisioning_status <> 'PENDING_DELETE') AS present`,
      [id],
    );
    return row.present;
  }

  /** Marks everything below it PENDING_DELETE, for a deletion with cascade. */
  async markChildrenDeleting(tx: Tx, begun: LoadBalancer, by: ChangedBy): Promise<void> {
    const mark = (kind: string) => `
      UPDATE ${kind} SET provisioning_status = 'PENDING_DELETE', fault_reason = NULL, fault_message = NULL,
        revision = $2, author = $3, request_id = $4, updated_at = now()
      WHERE load_balancer_id = $1 AND provisioning_status <> 'PENDING_DELETE'`;
    await tx.query(
      `WITH listeners AS (${mark('listener')}), pools AS (${mark('pool')}), members AS (${mark('member')})
       ${mark('health_monitor')}`,
      [begun.id, begun.desiredRevision, by.author, by.requestId],
    );
  }
}

/** @throws EtagMismatch when an etag was given and is not that of the object */
export function assertEtag(object: { readonly id: string; readonly revision: number }, etag: string): void {
  if (etag !== '' && etag !== etagOf(object)) throw new EtagMismatch(object.id);
}
