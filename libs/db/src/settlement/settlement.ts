import { type Fault, type LoadBalancer, OBJECT_KINDS, type ObjectKind, type ProvisioningStatus } from '@octavia/domain';
import { activeTraceparent } from './core/active-trace.ts';
import type { Tx } from './core/database.ts';
import { EVENT_CHANNEL } from './intent/events.ts';
import { LoadBalancers } from './intent/load-balancers.ts';
import { Quotas } from './intent/quotas.ts';
import { VipAddresses } from './intent/vip-addresses.ts';

/** Children in the order in which they are removed: what refers to others goes first. */
const CHILDREN = ['member', 'health_monitor', 'listener', 'pool'] as const;

/**
 * Reasons of faults that say: the data plane, or the renderer, did not take these values. Another try with the same values is of no
 * use. After any other reason, what was desired is still desired.
 */
export const REFUSED_REASONS = ['CONFIGURATION_REFUSED', 'BAD_STORED_VALUE', 'UNSUPPORTED_BY_PROVIDER'] as const;

/** What an object that the data plane does not take gets. */
export interface Refusal {
  readonly objectKind: ObjectKind;
  readonly objectId: string;
  readonly fault: Fault;
}

interface Changed {
  readonly kind: ObjectKind;
  readonly id: string;
  readonly from: ProvisioningStatus;
  readonly to: ProvisioningStatus;
  readonly projectId: string;
  readonly author: string;
  readonly requestId: string;
  readonly fault: Fault | null;
}

/**
 * The statuses of a load balancer and of everything below it, as flows make them final. Every method wants the transaction of a
 * flow, takes the load balancer's lock first, and tells each change of a status as an event.
 */
export class Settlement {
  readonly #loadBalancers = new LoadBalancers();
  readonly #quotas = new Quotas();
  readonly #vipAddresses = new VipAddresses();

  /**
   * The push of revision `target` is over. Where the data plane serves it, what was pending up to it is ACTIVE, or gone if it was to
   * be deleted; where it was refused (`isServed` false), `refused` has settled that. Returns whether more is desired by now.
   */
  async pushed(tx: Tx, id: string, target: number, isServed: boolean): Promise<{ readonly isMoreDesired: boolean }> {
    const lb = await this.#loadBalancers.lock(tx, id);
    if (!lb || isGone(lb)) return { isMoreDesired: false };
    const changed: Changed[] = [];
    if (isServed) {
      const { unsettled, isAnyDeleting } = await this.#pending(tx, id);
      for (const kind of unsettled) changed.push(...(await this.#activate(tx, kind, id, target)));
      if (isAnyDeleting) changed.push(...(await this.#remove(tx, id, target)));
    }
    const isMoreDesired = lb.desiredRevision > target;
    const [, ofItself] = await Promise.all([
      isServed &&
        tx.query('UPDATE load_balancer SET applied_revision = revision WHERE id = $1 AND revision <= $2', [id, target]),
      this.#set(tx, lb, isMoreDesired ? 'PENDING_UPDATE' : 'ACTIVE', null),
    ]);
    changed.push(...ofItself);
    await this.#release(tx, changed);
    await this.#tell(tx, id, changed);
    return { isMoreDesired };
  }

  /**
   * A flow could not do it: everything that is pending is in ERROR, and so is the load balancer. One that is being deleted is left to
   * its deletion, unless it was that which failed.
   */
  async failed(tx: Tx, id: string, fault: Fault, isDeletion = false): Promise<void> {
    const lb = await this.#loadBalancers.lock(tx, id);
    if (!lb || (isDeletion ? lb.provisioningStatus === 'DELETED' : isGone(lb))) return;
    const changed: Changed[] = [];
    for (const kind of CHILDREN) changed.push(...(await this.#fail(tx, kind, id, lb.desiredRevision, fault)));
    changed.push(...(await this.#set(tx, lb, 'ERROR', fault)));
    await this.#tell(tx, id, changed);
  }

  /** Before a push: what failed for another reason than its values is desired as before, so it is pending again. */
  async retry(tx: Tx, id: string): Promise<void> {
    const changed: Changed[] = [];
    for (const kind of (await this.#pending(tx, id)).unsettled) {
      changed.push(
        ...(await this.#change(
          tx,
          kind,
          `provisioning_status = CASE WHEN o.applied_revision = 0 THEN 'PENDING_CREATE' ELSE 'PENDING_UPDATE' END,
           fault_reason = NULL, fault_message = NULL`,
          `o.load_balancer_id = $1 AND o.provisioning_status = 'ERROR' AND o.fault_reason <> ALL ($2)`,
          [id, REFUSED_REASONS],
        )),
      );
    }
    await this.#tell(tx, id, changed);
  }

  /** The data plane refused revision `target` as a whole: what was pending up to it is in ERROR with its words. */
  async refused(tx: Tx, id: string, target: number, fault: Fault): Promise<void> {
    await this.#loadBalancers.lock(tx, id);
    const changed: Changed[] = [];
    for (const kind of CHILDREN) changed.push(...(await this.#fail(tx, kind, id, target, fault)));
    await this.#tell(tx, id, changed);
  }

  /** Single objects that cannot be rendered. One that a caller has changed since is left alone. */
  async unrenderable(tx: Tx, id: string, target: number, refusals: readonly Refusal[]): Promise<void> {
    if (refusals.length === 0) return;
    await this.#loadBalancers.lock(tx, id);
    const changed: Changed[] = [];
    for (const { objectKind, objectId, fault } of refusals) {
      if (objectKind === 'load_balancer') continue;
      changed.push(
        ...(await this.#change(
          tx,
          objectKind,
          `provisioning_status = 'ERROR', fault_reason = $3, fault_message = $4`,
          `o.id = $1 AND o.revision <= $2 AND o.provisioning_status NOT IN ('PENDING_DELETE', 'ERROR')`,
          [objectId, target, fault.reason, fault.message],
        )),
      );
    }
    await this.#tell(tx, id, changed);
  }

  /** Nothing of it is left outside: children are gone, quota and address are free, the row stays as DELETED for a while. */
  async deleted(tx: Tx, id: string, vipRestMs: number): Promise<void> {
    const lb = await this.#loadBalancers.lock(tx, id);
    if (!lb || lb.provisioningStatus === 'DELETED') return;
    const removed = await this.#remove(tx, id, null);
    await this.#vipAddresses.release(tx, id, vipRestMs);
    await tx.query('UPDATE load_balancer SET deleted_at = now(), applied_revision = revision WHERE id = $1', [id]);
    const changed = [...removed, ...(await this.#set(tx, lb, 'DELETED', null))];
    await tx.query('DELETE FROM operating_status WHERE load_balancer_id = $1', [id]);
    await this.#release(tx, changed);
    await this.#tell(tx, id, changed);
  }

  /** Kinds of children that have any which is not settled, and whether any is to be removed: most flows settle few kinds. */
  async #pending(tx: Tx, id: string): Promise<{ unsettled: ObjectKind[]; isAnyDeleting: boolean }> {
    const any = CHILDREN.map(
      (kind) =>
        `SELECT '${kind}' AS kind, bool_or(provisioning_status = 'PENDING_DELETE') AS is_any_deleting
         FROM ${kind} WHERE load_balancer_id = $1 AND provisioning_status <> 'ACTIVE' HAVING count(*) > 0`,
    );
    const rows: { kind: ObjectKind; is_any_deleting: boolean }[] = await tx.query(any.join(' UNION ALL '), [id]);
    return {
      unsettled: rows.map(({ kind }) => kind),
      isAnyDeleting: rows.some(({ is_any_deleting: isAny }) => isAny),
    };
  }

  #activate(tx: Tx, kind: ObjectKind, id: string, target: number): Promise<Changed[]> {
    // What is in ERROR and was applied before was part of the configuration that has just been taken.
    return this.#change(
      tx,
      kind,
      `provisioning_status = 'ACTIVE', applied_revision = o.revision, fault_reason = NULL, fault_message = NULL`,
      `o.load_balancer_id = $1 AND o.revision <= $2 AND (o.provisioning_status IN ('PENDING_CREATE', 'PENDING_UPDATE')
         OR (o.provisioning_status = 'ERROR' AND o.applied_revision > 0 AND o.fault_reason = 'CONFIGURATION_REFUSED'))`,
      [id, target],
    );
  }

  #fail(tx: Tx, kind: ObjectKind, id: string, target: number, fault: Fault): Promise<Changed[]> {
    return this.#change(
      tx,
      kind,
      `provisioning_status = 'ERROR', fault_reason = $3, fault_message = $4`,
      `o.load_balancer_id = $1 AND o.revision <= $2 AND o.provisioning_status LIKE 'PENDING%'`,
      [id, target, fault.reason, fault.message],
    );
  }

  #set(tx: Tx, lb: LoadBalancer, status: ProvisioningStatus, fault: Fault | null): Promise<Changed[]> {
    return this.#change(
      tx,
      'load_balancer',
      'provisioning_status = $2::text, fault_reason = $3, fault_message = $4',
      `o.id = $1 AND (o.provisioning_status, o.fault_reason) IS DISTINCT FROM ($2::text, $3)`,
      [lb.id, status, fault?.reason ?? null, fault?.message ?? null],
    );
  }

  /**
   * Locks in the order of ids, changes, and returns what each object was before. `updated_at` is the caller's: our progress does
   * not touch it.
   */
  async #change(tx: Tx, kind: ObjectKind, set: string, where: string, values: readonly unknown[]): Promise<Changed[]> {
    const rows: ChangedRow[] = await tx.query(
      `WITH old AS (SELECT o.id, o.provisioning_status AS status FROM ${kind} o WHERE ${where} ORDER BY o.id FOR UPDATE),
       done AS (
         UPDATE ${kind} o SET ${set} FROM old WHERE o.id = old.id
         RETURNING o.*, old.status AS old_status)
       SELECT id, old_status, provisioning_status, project_id, author, request_id, fault_reason, fault_message FROM done`,
      [...values],
    );
    return rows.map((row) => toChanged(kind, row));
  }

  /** Removes what is to be deleted, up to a revision or all, with what is below. */
  async #remove(tx: Tx, id: string, target: number | null): Promise<Changed[]> {
    const isDue = (alias: string): string =>
      `($2::integer IS NULL OR (${alias}.provisioning_status = 'PENDING_DELETE' AND ${alias}.revision <= $2))`;
    const ofPool = `EXISTS (SELECT 1 FROM pool p WHERE p.id = o.pool_id AND ${isDue('p')})`;
    const removed: Changed[] = [];
    for (const kind of CHILDREN) {
      const isBelowPool = kind === 'member' || kind === 'health_monitor';
      const [rows]: [ChangedRow[], number] = await tx.query(
        `DELETE FROM ${kind} o WHERE o.load_balancer_id = $1 AND (${isDue('o')}${isBelowPool ? ` OR ${ofPool}` : ''})
         RETURNING id, provisioning_status AS old_status, 'DELETED' AS provisioning_status, project_id, author, request_id,
           NULL AS fault_reason, NULL AS fault_message`,
        [id, target],
      );
      removed.push(...rows.map((row) => toChanged(kind, row)));
    }
    if (removed.length > 0) {
      await tx.query('DELETE FROM operating_status WHERE object_id = ANY ($1)', [removed.map((object) => object.id)]);
    }
    return removed;
  }

  async #release(tx: Tx, changed: readonly Changed[]): Promise<void> {
    const gone = changed.filter(({ to }) => to === 'DELETED');
    const byProject = Map.groupBy(gone, ({ projectId }) => projectId);
    for (const projectId of [...byProject.keys()].sort()) {
      const counts: Partial<Record<ObjectKind, number>> = {};
      for (const kind of OBJECT_KINDS) {
        counts[kind] = byProject.get(projectId)?.filter((object) => object.kind === kind).length ?? 0;
      }
      await this.#quotas.release(tx, projectId, counts);
    }
  }

  /** Appends all events with one statement: a push may settle a thousand members. */
  async #tell(tx: Tx, id: string, changed: readonly Changed[]): Promise<void> {
    const told = changed.filter(({ from, to, fault }) => from !== to || fault !== null);
    if (told.length === 0) return;
    await tx.query(
      `WITH numbered AS (
         UPDATE load_balancer SET last_event = last_event + $2::integer WHERE id = $1 RETURNING last_event),
       appended AS (
         INSERT INTO event (load_balancer_id, number, project_id, author, request_id, kind, object_kind, object_id, payload,
           traceparent)
         SELECT $1, last_event - $2::integer + ordinal, c.project_id, c.author, c.request_id, 'provisioning_status_changed', c.kind,
           c.id, c.payload, $4
         FROM numbered, ROWS FROM (jsonb_to_recordset($3::jsonb) AS
           (id uuid, kind text, project_id text, author text, request_id text, payload jsonb)) WITH ORDINALITY
           AS c (id, kind, project_id, author, request_id, payload, ordinal))
       SELECT pg_notify('${EVENT_CHANNEL}', $1::uuid::text)`,
      [id, told.length, JSON.stringify(told.map(toEvent)), activeTraceparent()],
    );
  }
}

function isGone(lb: LoadBalancer): boolean {
  return lb.provisioningStatus === 'DELETED' || lb.provisioningStatus === 'PENDING_DELETE';
}

interface ChangedRow {
  id: string;
  old_status: ProvisioningStatus;
  provisioning_status: ProvisioningStatus;
  project_id: string;
  author: string;
  request_id: string;
  fault_reason: string | null;
  fault_message: string | null;
}

function toChanged(kind: ObjectKind, row: ChangedRow): Changed {
  return {
    kind,
    id: row.id,
    from: row.old_status,
    to: row.provisioning_status,
    projectId: row.project_id,
    author: row.author,
    requestId: row.request_id,
    fault: row.fault_reason === null ? null : { reason: row.fault_reason, message: row.fault_message ?? '' },
  };
}

function toEvent({ kind, id, from, to, projectId, author, requestId, fault }: Changed): object {
  const payload = { from, to, ...(fault ? { reason: fault.reason, message: fault.message } : {}) };
  return { id, kind, project_id: projectId, author, request_id: requestId, payload };
}
