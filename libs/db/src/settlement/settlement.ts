import { type Fault, type LoadBalancer, OBJECT_KINDS, type ObjectKind, type ProvisioningStatus } from '@octavia/domain';
import type { Tx } from '../core/database.ts';
import { LoadBalancers } from '../intent/load-balancers.ts';
import { Quotas } from '../intent/quotas.ts';
import { VipAddresses } from '../intent/vip-addresses.ts';
import { Refusals, type RefusedChange } from './refusals.ts';
import { type Changed, type ChangedRow, StatusChanges, toChanged } from './status-changes.ts';

/** Children in the order in which they are removed: what refers to others goes first. */
const CHILDREN = ['member', 'health_monitor', 'listener', 'pool'] as const;

/**
 * Reasons of faults that say: the data plane, or the renderer, did not take these values. Another try with the same values is of no
 * use. After any other reason, what was desired is still desired.
 */
export const REFUSED_REASONS = ['CONFIGURATION_REFUSED', 'BAD_STORED_VALUE', 'UNSUPPORTED_BY_PROVIDER'] as const;

/** Why something is in ERROR that needs something refused. Once that is not refused any more, it is desired as before. */
export const DEPENDS_ON_REFUSED = 'DEPENDS_ON_REFUSED';

/** What an object that the data plane does not take gets. */
export interface Refusal {
  readonly objectKind: ObjectKind;
  readonly objectId: string;
  readonly fault: Fault;
}

/**
 * The statuses of a load balancer and of everything below it, as flows make them final. Every method wants the transaction of a
 * flow, takes the load balancer's lock first, and tells each change of a status as an event.
 */
export class Settlement {
  readonly #loadBalancers = new LoadBalancers();
  readonly #quotas = new Quotas();
  readonly #vipAddresses = new VipAddresses();
  readonly #statuses = new StatusChanges();
  readonly #refusals = new Refusals(this.#statuses);

  /**
   * The data plane serves revision `target`: what was pending up to it is ACTIVE, or gone if it was to be deleted. What `refused` has
   * put in ERROR stays so.
   * @param undecided ids of objects that are not in it after all, and are to be pushed anew
   * @returns whether more is desired by now
   */
  async pushed(
    tx: Tx,
    id: string,
    target: number,
    undecided: readonly string[] = [],
  ): Promise<{ readonly isMoreDesired: boolean }> {
    const lb = await this.#loadBalancers.lock(tx, id);
    if (!lb || isGone(lb)) return { isMoreDesired: false };
    const changed: Changed[] = [];
    const { unsettled, isAnyDeleting } = await this.#pending(tx, id);
    for (const kind of unsettled) changed.push(...(await this.#activate(tx, kind, id, target, undecided)));
    if (isAnyDeleting) changed.push(...(await this.#remove(tx, id, target, undecided)));
    const isMoreDesired = lb.desiredRevision > target || undecided.length > 0;
    const isServed = !undecided.includes(id);
    const isRefused = REFUSED_REASONS.some((reason) => reason === lb.fault?.reason);
    const settled = isRefused ? 'ERROR' : 'ACTIVE';
    const [, ofItself] = await Promise.all([
      isServed &&
        tx.query('UPDATE load_balancer SET applied_revision = revision WHERE id = $1 AND revision <= $2', [id, target]),
      this.#set(tx, lb, isMoreDesired ? 'PENDING_UPDATE' : settled, isRefused ? lb.fault : null),
    ]);
    changed.push(...ofItself);
    await this.#release(tx, changed);
    await this.#statuses.tell(tx, id, changed);
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
    await this.#statuses.tell(tx, id, changed);
  }

  /**
   * Before a push: what failed for another reason than its values is desired as before, so it is pending again. So is what needed
   * something that was refused, and is not any more.
   */
  async retry(tx: Tx, id: string): Promise<void> {
    const changed: Changed[] = [];
    for (const kind of (await this.#pending(tx, id)).unsettled) {
      const pool = kind === 'listener' ? 'o.default_pool_id' : kind === 'pool' ? 'NULL' : 'o.pool_id';
      changed.push(
        ...(await this.#statuses.change(
          tx,
          kind,
          `provisioning_status = CASE WHEN o.applied_revision = 0 THEN 'PENDING_CREATE' ELSE 'PENDING_UPDATE' END,
           fault_reason = NULL, fault_message = NULL`,
          `o.load_balancer_id = $1 AND o.provisioning_status = 'ERROR' AND o.fault_reason <> ALL ($2)
           AND (o.fault_reason <> $3 OR (o.applied_revision = 0 AND NOT EXISTS (
             SELECT 1 FROM pool needed WHERE needed.id = ${pool} AND needed.provisioning_status = 'ERROR'
               AND needed.applied_revision = 0 AND needed.fault_reason = ANY ($2))))`,
          [id, REFUSED_REASONS, DEPENDS_ON_REFUSED],
        )),
      );
    }
    await this.#statuses.tell(tx, id, changed);
  }

  /** @see Refusals.settle */
  refused(tx: Tx, id: string, target: number, refused: readonly RefusedChange[]): Promise<number> {
    return this.#refusals.settle(tx, id, target, refused);
  }

  /** Single objects that cannot be rendered. One that a caller has changed since is left alone. */
  async unrenderable(tx: Tx, id: string, target: number, refusals: readonly Refusal[]): Promise<void> {
    if (refusals.length === 0) return;
    await this.#loadBalancers.lock(tx, id);
    const changed: Changed[] = [];
    for (const { objectKind, objectId, fault } of refusals) {
      if (objectKind === 'load_balancer') continue;
      changed.push(
        ...(await this.#statuses.change(
          tx,
          objectKind,
          `provisioning_status = 'ERROR', fault_reason = $3, fault_message = $4`,
          `o.id = $1 AND o.revision <= $2 AND o.provisioning_status NOT IN ('PENDING_DELETE', 'ERROR')`,
          [objectId, target, fault.reason, fault.message],
        )),
      );
    }
    await this.#statuses.tell(tx, id, changed);
  }

  /** Nothing of it is left outside: children are gone, quota and address are free, the row stays as DELETED for a while. */
  async deleted(tx: Tx, id: string, vipRestMs: number): Promise<void> {
    const lb = await this.#loadBalancers.lock(tx, id);
    if (!lb || lb.provisioningStatus === 'DELETED') return;
    const removed = await this.#remove(tx, id, null, []);
    await this.#vipAddresses.release(tx, id, vipRestMs);
    await tx.query('UPDATE load_balancer SET deleted_at = now(), applied_revision = revision WHERE id = $1', [id]);
    const changed = [...removed, ...(await this.#set(tx, lb, 'DELETED', null))];
    await tx.query('DELETE FROM operating_status WHERE load_balancer_id = $1', [id]);
    await this.#release(tx, changed);
    await this.#statuses.tell(tx, id, changed);
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

  #activate(tx: Tx, kind: ObjectKind, id: string, target: number, undecided: readonly string[]): Promise<Changed[]> {
    return this.#statuses.change(
      tx,
      kind,
      `provisioning_status = 'ACTIVE', applied_revision = o.revision, fault_reason = NULL, fault_message = NULL`,
      `o.load_balancer_id = $1 AND o.revision <= $2 AND o.provisioning_status IN ('PENDING_CREATE', 'PENDING_UPDATE')
       AND o.id <> ALL ($3)`,
      [id, target, undecided],
    );
  }

  #fail(tx: Tx, kind: ObjectKind, id: string, target: number, fault: Fault): Promise<Changed[]> {
    return this.#statuses.change(
      tx,
      kind,
      `provisioning_status = 'ERROR', fault_reason = $3, fault_message = $4`,
      `o.load_balancer_id = $1 AND o.revision <= $2 AND o.provisioning_status LIKE 'PENDING%'`,
      [id, target, fault.reason, fault.message],
    );
  }

  #set(tx: Tx, lb: LoadBalancer, status: ProvisioningStatus, fault: Fault | null): Promise<Changed[]> {
    return this.#statuses.change(
      tx,
      'load_balancer',
      'provisioning_status = $2::text, fault_reason = $3, fault_message = $4',
      `o.id = $1 AND (o.provisioning_status, o.fault_reason) IS DISTINCT FROM ($2::text, $3)`,
      [lb.id, status, fault?.reason ?? null, fault?.message ?? null],
    );
  }

  /** Removes what is to be deleted, up to a revision or all, with what is below. */
  async #remove(tx: Tx, id: string, target: number | null, undecided: readonly string[]): Promise<Changed[]> {
    const isDue = (alias: string): string =>
      `($2::integer IS NULL OR
        (${alias}.provisioning_status = 'PENDING_DELETE' AND ${alias}.revision <= $2 AND ${alias}.id <> ALL ($3)))`;
    const ofPool = `EXISTS (SELECT 1 FROM pool p WHERE p.id = o.pool_id AND ${isDue('p')})`;
    const removed: Changed[] = [];
    for (const kind of CHILDREN) {
      const isBelowPool = kind === 'member' || kind === 'health_monitor';
      const [rows]: [ChangedRow[], number] = await tx.query(
        `DELETE FROM ${kind} o WHERE o.load_balancer_id = $1 AND (${isDue('o')}${isBelowPool ? ` OR ${ofPool}` : ''})
         RETURNING id, provisioning_status AS old_status, 'DELETED' AS provisioning_status, project_id, author, request_id,
           NULL AS fault_reason, NULL AS fault_message`,
        [id, target, undecided],
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
}

function isGone(lb: LoadBalancer): boolean {
  return lb.provisioningStatus === 'DELETED' || lb.provisioningStatus === 'PENDING_DELETE';
}
