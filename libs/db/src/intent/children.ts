import {
  AlreadyExists,
  BeingDeleted,
  begin,
  type HealthMonitor,
  isBeingDeleted,
  type Listener,
  type LoadBalancer,
  type Member,
  NotFound,
  nounOf,
  type ObjectOf,
} from '@octavia/domain';
import pg from 'pg';
import type { Tx } from '../core/database.ts';
import { assertEtag, type Scope } from './load-balancers.ts';
import type { ChangedBy } from './revisions.ts';
import { type New, type Table, tables } from './table.ts';

export type ChildKind = Exclude<keyof ObjectOf, 'load_balancer'>;

/** A child and its load balancer, which is locked. */
export interface Locked<T> {
  readonly loadBalancer: LoadBalancer;
  readonly object: T;
}

/** What all objects below a load balancer have in common. */
abstract class Children<K extends ChildKind> {
  readonly kind: K;
  readonly #table: Table<ObjectOf[K]>;

  constructor(kind: K) {
    this.kind = kind;
    this.#table = tables[kind] as unknown as Table<ObjectOf[K]>;
  }

  /** What a violated unique index means to a caller. */
  protected abstract taken(object: New<ObjectOf[K]>): Error;

  /** @throws AlreadyExists */
  async insert(tx: Tx, object: New<ObjectOf[K]>): Promise<ObjectOf[K]> {
    try {
      return await this.#table.insert(tx, object);
    } catch (error) {
      throw isUniqueViolation(error) ? this.taken(object) : error;
    }
  }

  /** @throws NotFound also outside of the scope */
  async get(tx: Tx, id: string, scope: Scope): Promise<ObjectOf[K]> {
    const [row] = await tx.query(
      `SELECT ${this.#table.columns()} FROM ${this.kind} WHERE id = $1 AND ($2::text IS NULL OR project_id = $2)`,
      [id, scope],
    );
    if (!row) throw new NotFound(nounOf(this.kind), id);
    return this.#table.read(row);
  }

  /** Locks the load balancer of a child, then reads the child. @throws NotFound also outside of the scope */
  async lock(tx: Tx, id: string, scope: Scope): Promise<Locked<ObjectOf[K]>> {
    const [row] = await tx.query(
      `SELECT ${tables.load_balancer.columns('lb')} FROM load_balancer lb
       WHERE lb.id = (SELECT load_balancer_id FROM ${this.kind} WHERE id = $1) AND ($2::text IS NULL OR lb.project_id = $2)
       FOR UPDATE`,
      [id, scope],
    );
    if (!row) throw new NotFound(nounOf(this.kind), id);
    // In a statement of its own: its snapshot is newer than the lock.
    return { loadBalancer: tables.load_balancer.read(row), object: await this.get(tx, id, scope) };
  }

  /**
   * As `lock`, and the load balancer is as it is once the change is accepted: pending, one revision further.
   * @throws NotFound, EtagMismatch, LoadBalancerBeingDeleted, BeingDeleted
   */
  async begin(tx: Tx, id: string, scope: Scope, etag = ''): Promise<Locked<ObjectOf[K]>> {
    const { loadBalancer, object } = await this.lock(tx, id, scope);
    const begun = begin('update', loadBalancer);
    if (isBeingDeleted(object)) throw new BeingDeleted(nounOf(this.kind), id);
    assertEtag(object, etag);
    return { loadBalancer: begun, object };
  }

  /** Writes new values, which carry the revision of the load balancer that `begin` returned. @throws AlreadyExists, NotFound */
  async update(tx: Tx, begun: LoadBalancer, id: string, fields: Partial<ObjectOf[K]>, by: ChangedBy) {
    const { author, requestId } = by;
    const written = { ...fields, author, requestId, revision: begun.desiredRevision, fault: null };
    const updated = await this.#table.update(tx, id, written as Partial<ObjectOf[K]>);
    if (!updated) throw new NotFound(nounOf(this.kind), id);
    return updated;
  }

  /** Marks objects PENDING_DELETE, up to the revision of the load balancer that `begin` returned. Returns them. */
  async markDeleting(tx: Tx, begun: LoadBalancer, by: ChangedBy, where: 'id' | 'pool_id', id: string) {
    const [rows] = await tx.query(
      `UPDATE ${this.kind} SET provisioning_status = 'PENDING_DELETE', fault_reason = NULL, fault_message = NULL,
         revision = $2, author = $3, request_id = $4, updated_at = now()
       WHERE ${where} = $1 AND provisioning_status <> 'PENDING_DELETE' RETURNING *`,
      [id, begun.desiredRevision, by.author, by.requestId],
    );
    return (rows as Record<string, unknown>[]).map((row) => this.#table.read(row));
  }
}

/** Listeners of load balancers. */
export class Listeners extends Children<'listener'> {
  constructor() {
    super('listener');
  }

  /** Takes a pool that is going away from the listeners that use it. Returns them as they are now. */
  async detachPool(tx: Tx, begun: LoadBalancer, poolId: string, by: ChangedBy): Promise<Listener[]> {
    const [rows] = await tx.query(
      `UPDATE listener SET default_pool_id = NULL, revision = $2, author = $3, request_id = $4, updated_at = now(),
         fault_reason = NULL, fault_message = NULL,
         provisioning_status = CASE WHEN applied_revision = 0 THEN 'PENDING_CREATE' ELSE 'PENDING_UPDATE' END
       WHERE default_pool_id = $1 AND provisioning_status <> 'PENDING_DELETE' RETURNING *`,
      [poolId, begun.desiredRevision, by.author, by.requestId],
    );
    return (rows as Record<string, unknown>[]).map((row) => tables.listener.read(row));
  }

  protected taken({ loadBalancerId, protocolPort }: New<Listener>): Error {
    return new AlreadyExists(
      'LISTENER_PORT_TAKEN',
      `Load balancer ${loadBalancerId} has a listener on port ${protocolPort} of that transport protocol. Choose another port.`,
      { loadBalancerId, port: String(protocolPort) },
    );
  }
}

/** Pools of load balancers. */
export class Pools extends Children<'pool'> {
  constructor() {
    super('pool');
  }

  /** Listeners whose default pool it is, those that are being deleted left out. */
  async usersOf(tx: Tx, poolId: string): Promise<Listener[]> {
    const rows = await tx.query(
      `SELECT ${tables.listener.columns()} FROM listener WHERE default_pool_id = $1 AND provisioning_status <> 'PENDING_DELETE'`,
      [poolId],
    );
    return rows.map((row: Record<string, unknown>) => tables.listener.read(row));
  }

  protected taken(): Error {
    return new Error('Pools have no unique property but their id.');
  }
}

/** Members of pools. */
export class Members extends Children<'member'> {
  constructor() {
    super('member');
  }

  protected taken({ poolId, address, protocolPort }: New<Member>): Error {
    return new AlreadyExists(
      'MEMBER_EXISTS',
      `Pool ${poolId} has a member ${address} on port ${protocolPort} already.`,
      {
        poolId,
        address,
        port: String(protocolPort),
      },
    );
  }
}

/** Health monitors of pools. */
export class HealthMonitors extends Children<'health_monitor'> {
  constructor() {
    super('health_monitor');
  }

  protected taken({ poolId }: New<HealthMonitor>): Error {
    return new AlreadyExists(
      'POOL_HAS_HEALTH_MONITOR',
      `Pool ${poolId} has a health monitor. Change that one, or delete it first.`,
      { poolId },
    );
  }
}

function isUniqueViolation(error: unknown): boolean {
  return error instanceof pg.DatabaseError && error.code === '23505';
}
