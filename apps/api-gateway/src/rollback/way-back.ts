import { HealthMonitors, Listeners, LoadBalancers, Members, Pools } from '@octavia/db';
import {
  changed,
  type Difference,
  deletionOf,
  deltaOf,
  type Fields,
  type LoadBalancer,
  type LoadBalancerTree,
  type ObjectKind,
  poolDeletionOf,
  type TreeObject,
  treeObjects,
  type Wanted,
} from '@octavia/domain';
import type { ChangeContext, Changes } from '../changes.ts';
import { newChild } from '../handlers/child.ts';

const loadBalancers = new LoadBalancers();
const children = {
  listener: new Listeners(),
  pool: new Pools(),
  member: new Members(),
  health_monitor: new HealthMonitors(),
} as const;
type ChildKind = keyof typeof children;

/** What of the load balancer itself can be changed. */
const OWN_FIELDS: ReadonlySet<string> = new Set(['name', 'description', 'adminStateUp', 'tags']);

/**
 * Makes the changes that lead back, each with a revision of its own, in an order in which no two objects want the same place and
 * nothing names what is not there: first what is needed, then what goes, then the rest.
 */
export class WayBack {
  readonly #changes: Changes;
  readonly #context: ChangeContext;
  readonly #begun: LoadBalancer;
  readonly #now: ReadonlyMap<string, TreeObject['object']>;
  /** One less than the number of the next revision. */
  #newest: number;

  /** @param begun with the number of the first revision @param tree as it is now */
  constructor(changes: Changes, context: ChangeContext, begun: LoadBalancer, tree: LoadBalancerTree) {
    this.#changes = changes;
    this.#context = context;
    this.#begun = begun;
    this.#newest = begun.desiredRevision - 1;
    this.#now = new Map(treeObjects(tree).map(({ object }) => [object.id, object]));
  }

  /** Number of the last revision that was written. */
  get newest(): number {
    return this.#newest;
  }

  async go(differences: readonly Difference[], then: Wanted): Promise<void> {
    const gone = new Set(differences.filter(({ what }) => what === 'deleted').map(({ id }) => id));
    const steps: readonly (readonly [Difference['what'], readonly ObjectKind[]])[] = [
      ['created', ['pool']],
      ['deleted', ['listener']],
      ['updated', ['load_balancer', 'listener', 'pool', 'member', 'health_monitor']],
      ['deleted', ['pool', 'member', 'health_monitor']],
      ['created', ['listener', 'member', 'health_monitor']],
    ];
    for (const [what, kinds] of steps) {
      for (const difference of differences) {
        const { kind, id } = difference;
        if (difference.what !== what || !kinds.includes(kind)) continue;
        if (kind === 'load_balancer') await this.#updateItself(difference);
        else if (what === 'deleted') await this.#delete(kind, id, gone);
        else if (what === 'updated') await this.#update(kind, difference);
        else await this.#create(kind, id, then.get(id)?.fields ?? {});
      }
    }
  }

  async #updateItself({ id, fields }: Difference): Promise<void> {
    const wanted = Object.fromEntries(Object.entries(newValues(fields)).filter(([field]) => OWN_FIELDS.has(field)));
    if (Object.keys(wanted).length === 0) return;
    const begun = this.#next();
    const updated = await loadBalancers.update(
      this.#context.tx,
      begun,
      wanted as Partial<LoadBalancer>,
      this.#context.by,
    );
    await this.#record(begun, 'load_balancer', id, 'UPDATE', deltaOf(begun, updated));
  }

  async #update(kind: ChildKind, { id, fields }: Difference): Promise<void> {
    const begun = this.#next();
    const before = this.#now.get(id);
    if (!before) return;
    const written = { ...newValues(fields), provisioningStatus: changed(before) };
    const updated = await this.#repository(kind).update(this.#context.tx, begun, id, written, this.#context.by);
    await this.#record(begun, kind, id, 'UPDATE', deltaOf(before, updated));
  }

  async #delete(kind: ChildKind, id: string, gone: ReadonlySet<string>): Promise<void> {
    const { tx, by } = this.#context;
    const now = this.#now.get(id);
    const isTakenAlong = now !== undefined && 'poolId' in now && gone.has(now.poolId);
    if (isTakenAlong) return;
    const begun = this.#next();
    const [object] = await children[kind].markDeleting(tx, begun, by, 'id', id);
    if (kind !== 'pool') return this.#record(begun, kind, id, 'DELETE', deletionOf(object ?? {}));
    const members = await children.member.markDeleting(tx, begun, by, 'pool_id', id);
    const healthMonitors = await children.health_monitor.markDeleting(tx, begun, by, 'pool_id', id);
    const changes = poolDeletionOf(object ?? {}, { listenerIds: [], members, healthMonitors });
    return this.#record(begun, kind, id, 'DELETE', changes);
  }

  /** With its old id. Where its deletion has not been settled, the row is there, and so is its quota. */
  async #create(kind: ChildKind, id: string, fields: Fields): Promise<void> {
    const { tx, by } = this.#context;
    const begun = this.#next();
    const left = this.#now.get(id);
    const values = { ...fields } as Record<string, unknown>;
    const made = left
      ? await this.#repository(kind).update(tx, begun, id, { ...values, provisioningStatus: changed(left) }, by)
      : await this.#repository(kind).insert(tx, { ...values, ...newChild(id, begun, by) } as never);
    await this.#record(begun, kind, id, 'CREATE', deltaOf(null, made), left ? null : kind);
  }

  /** All kinds take the same calls. */
  #repository(kind: ChildKind): Listeners {
    return children[kind] as unknown as Listeners;
  }

  #next(): LoadBalancer {
    this.#newest++;
    return { ...this.#begun, desiredRevision: this.#newest };
  }

  #record(
    begun: LoadBalancer,
    objectKind: ObjectKind,
    objectId: string,
    action: 'CREATE' | 'UPDATE' | 'DELETE',
    changes: ReturnType<typeof deltaOf>,
    quota: ObjectKind | null = null,
  ): Promise<void> {
    return this.#changes.record(this.#context, begun, { objectKind, objectId, action, changes }, quota);
  }
}

function newValues(fields: Difference['fields']): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).map(([field, [, value]]) => [field, value]));
}
