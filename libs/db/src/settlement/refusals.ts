import {
  type Fault,
  type Fields,
  fieldsOf,
  isSame,
  type Json,
  type LoadBalancer,
  type ObjectKind,
  type PendingChange,
  type Restored,
} from '@octavia/domain';
import type { Tx } from '../core/database.ts';
import { Events } from '../intent/events.ts';
import { LoadBalancers } from '../intent/load-balancers.ts';
import { Revisions } from '../intent/revisions.ts';
import { type Table, tables } from '../intent/table.ts';
import type { Changed, StatusChanges } from './status-changes.ts';

/** Who writes the revisions with which refused changes go back. */
const OURSELVES = 'octavia';

/** A change that the data plane does not take. */
export interface RefusedChange {
  readonly change: PendingChange;
  readonly fault: Fault;
  /** What comes back with a pool whose deletion is refused. */
  readonly restored: readonly Restored[];
}

/** The rows that all kinds have in common. */
type AnyObject = LoadBalancer & { readonly defaultPoolId?: string | null };
const table = (kind: ObjectKind): Table<AnyObject> => tables[kind] as unknown as Table<AnyObject>;

/** One transaction that settles refusals, and the numbers that it gives. */
interface Going {
  readonly tx: Tx;
  readonly target: number;
  /** As it was locked. */
  readonly loadBalancer: LoadBalancer;
  /** Newest revision so far. */
  number: number;
  readonly changed: Changed[];
}

/** What becomes of changes that were refused. */
export class Refusals {
  readonly #loadBalancers = new LoadBalancers();
  readonly #revisions = new Revisions();
  readonly #events = new Events();
  readonly #statuses: StatusChanges;

  constructor(statuses: StatusChanges) {
    this.#statuses = statuses;
  }

  /**
   * Of revision `target` the data plane serves everything but these changes. A creation stays, in ERROR. An update goes back to the
   * last good values, field by field, where the field still has the refused one; a deletion is taken back. Both are in ERROR until
   * they are changed again, and get a revision of ours, so a new etag, and an event. What a caller has changed since wins.
   * @returns the newest revision that is served with it: `target`, or that of the last one that went back
   */
  async settle(tx: Tx, id: string, target: number, refused: readonly RefusedChange[]): Promise<number> {
    const loadBalancer = await this.#loadBalancers.lock(tx, id);
    if (!loadBalancer || refused.length === 0) return target;
    const going: Going = { tx, target, loadBalancer, number: loadBalancer.desiredRevision, changed: [] };
    await this.#refuseCreations(going, refused);
    // Pools first: listeners may go back to them.
    for (const one of refused) if (one.change.action === 'DELETE') await this.#restore(going, one);
    for (const one of refused) if (one.change.action === 'UPDATE') await this.#goBack(going, one);
    if (going.number > loadBalancer.desiredRevision) {
      await tx.query('UPDATE load_balancer SET desired_revision = $2 WHERE id = $1', [id, going.number]);
    }
    await this.#statuses.tell(tx, id, going.changed);
    if (loadBalancer.desiredRevision !== target) return target;
    // What they serve is what is desired now that it went back.
    await tx.query('UPDATE seat SET applied_revision = $3 WHERE load_balancer_id = $1 AND applied_revision = $2', [
      id,
      target,
      going.number,
    ]);
    return going.number;
  }

  /** Alike ones together: a pool may take a thousand members along. */
  async #refuseCreations({ tx, target, changed }: Going, refused: readonly RefusedChange[]): Promise<void> {
    const creations = refused.filter(({ change }) => change.action === 'CREATE');
    const alike = Map.groupBy(creations, ({ change, fault }) => JSON.stringify([change.kind, fault]));
    for (const [key, group] of alike) {
      const [kind, fault]: [ObjectKind, Fault] = JSON.parse(key);
      changed.push(
        ...(await this.#statuses.change(
          tx,
          kind,
          `provisioning_status = 'ERROR', fault_reason = $3, fault_message = $4`,
          `o.id = ANY ($1) AND o.revision <= $2 AND o.provisioning_status <> 'PENDING_DELETE'`,
          [group.map(({ change }) => change.id), target, fault.reason, fault.message],
        )),
      );
    }
  }

  async #goBack(going: Going, { change, fault }: RefusedChange): Promise<void> {
    const { tx } = going;
    const now = await this.#read(tx, change);
    if (!now || now.provisioningStatus === 'PENDING_DELETE') return;
    const isNewest = now.revision <= going.target;
    const values = now as unknown as Fields;
    const fields: Record<string, readonly [Json, Json]> = {};
    for (const [field, [good, wanted]] of Object.entries(change.fields)) {
      if (isSame(values[field], wanted)) fields[field] = [wanted, await this.#usable(tx, field, good)];
    }
    const back = Object.fromEntries(Object.entries(fields).map(([field, [, good]]) => [field, good]));
    if (Object.keys(fields).length > 0 || isNewest) {
      const number = ++going.number;
      const settled = { provisioningStatus: 'ERROR', fault, appliedRevision: number } as const;
      // The status of a load balancer is that of everything in it, and its own fault becomes it at the end of the push.
      const ofItself = { fault, appliedRevision: number };
      const status = change.kind === 'load_balancer' ? ofItself : settled;
      const written = { ...back, ...(isNewest ? status : {}), ...ours(change), revision: number };
      await table(change.kind).update(tx, change.id, written as Partial<AnyObject>);
      await this.#record(going, change, 'UPDATE', fields, change.requestId);
      if (isNewest && change.kind !== 'load_balancer') going.changed.push(toError(change, now, fault));
    }
    await this.#tell(going, change, fault, Object.keys(fields));
  }

  async #restore(going: Going, { change, fault, restored }: RefusedChange): Promise<void> {
    const { tx } = going;
    const now = await this.#read(tx, change);
    if (now?.provisioningStatus !== 'PENDING_DELETE' || now.revision > going.target) return;
    for (const one of [change, ...restored]) {
      const number = ++going.number;
      const good = Object.fromEntries(Object.entries(one.fields).map(([field, [value]]) => [field, value]));
      const isItself = one.id === change.id;
      const status = isItself ? { provisioningStatus: 'ERROR', fault } : { provisioningStatus: 'ACTIVE', fault: null };
      const written = { ...good, ...status, ...ours(change), revision: number, appliedRevision: number };
      const row = await table(one.kind).update(tx, one.id, written as Partial<AnyObject>);
      if (!row) continue;
      const values = Object.entries(fieldsOf(row)).map(([field, value]) => [field, [value]]);
      await this.#record(going, one, 'CREATE', Object.fromEntries(values), change.requestId);
      const back = toError(one, now, fault);
      going.changed.push(isItself ? back : { ...back, to: 'ACTIVE', fault: null });
    }
    await this.#tell(going, change, fault, []);
  }

  /** A pool to go back to may have been deleted since. */
  async #usable(tx: Tx, field: string, good: Json): Promise<Json> {
    if (field !== 'defaultPoolId' || good === null) return good;
    const [row] = await tx.query(`SELECT 1 FROM pool WHERE id = $1 AND provisioning_status <> 'PENDING_DELETE'`, [
      good,
    ]);
    return row ? good : null;
  }

  async #read(tx: Tx, { kind, id }: Pick<PendingChange, 'kind' | 'id'>): Promise<AnyObject | null> {
    const [row] = await tx.query(`SELECT ${table(kind).columns()} FROM ${kind} WHERE id = $1`, [id]);
    return row ? table(kind).read(row) : null;
  }

  #record(
    { tx, loadBalancer, number }: Going,
    { kind, id }: Pick<PendingChange, 'kind' | 'id'>,
    action: 'CREATE' | 'UPDATE',
    changes: Readonly<Record<string, readonly Json[]>>,
    requestId: string,
  ): Promise<void> {
    const revision = { objectKind: kind, objectId: id, action, changes } as const;
    return this.#revisions.insert(tx, loadBalancer.id, number, revision, { author: OURSELVES, requestId });
  }

  #tell({ tx, loadBalancer, number }: Going, change: PendingChange, fault: Fault, back: readonly string[]) {
    return this.#events.append(tx, {
      loadBalancerId: loadBalancer.id,
      projectId: loadBalancer.projectId,
      author: OURSELVES,
      requestId: change.requestId,
      kind: 'change_refused',
      objectKind: change.kind,
      objectId: change.id,
      payload: {
        action: change.action,
        reason: fault.reason,
        message: fault.message,
        fields: Object.keys(change.fields),
        went_back: back,
        refused_revision: change.revision,
        revision: number,
      },
    });
  }
}

function ours({ requestId }: PendingChange) {
  return { author: OURSELVES, requestId };
}

function toError({ kind, id }: Pick<PendingChange, 'kind' | 'id'>, was: AnyObject, fault: Fault): Changed {
  const { provisioningStatus: from, projectId, author, requestId } = was;
  return { kind, id, from, to: 'ERROR', projectId, author, requestId, fault };
}
