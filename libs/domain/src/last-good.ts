/**
 * What changed in a load balancer since the data plane served it last, object by object, and what it is like when only some of
 * these changes are made. Pure: the search for a refused change asks here what to try.
 */
import { isBeingDeleted } from './change.ts';
import type { Json } from './flow.ts';
import { type Effect, effectsOf, isSame, type RecordedChange } from './history.ts';
import type { Listener, LoadBalancerTree, ObjectKind, Pool } from './objects.ts';
import { isRendered } from './rendered.ts';
import { type TreeObject, treeObjects } from './tree.ts';

/** An object of which the data plane does not serve what is wanted, and which could be left as it serves it. */
export interface PendingChange {
  readonly kind: ObjectKind;
  readonly id: string;
  readonly action: 'CREATE' | 'UPDATE' | 'DELETE';
  /** Of the newest change in it, with the request that made it. */
  readonly revision: number;
  readonly requestId: string;
  /** Field to [last good value, wanted value]; of a creation nothing. */
  readonly fields: Readonly<Record<string, readonly [Json, Json]>>;
  /** Ids of changes without which this one cannot be made. */
  readonly dependsOn: readonly string[];
}

/** What goes back with a pool whose deletion cannot be made: what was to go with it, and is served. */
export interface Restored {
  readonly kind: 'member' | 'health_monitor';
  readonly id: string;
  readonly fields: PendingChange['fields'];
}

/**
 * A pool is written with the first listener that uses it, and members with their pool: in this order the first one that is refused is
 * the one to blame.
 */
const ORDER: readonly ObjectKind[] = ['load_balancer', 'pool', 'listener', 'health_monitor', 'member'];

export interface PendingChanges {
  /** In the order in which they are to be tried: what others need comes before them, else the oldest first. */
  readonly all: readonly PendingChange[];
  /** Ids of those that depend on what was refused before, and is still as it was: they cannot be made. */
  readonly blocked: ReadonlySet<string>;
  /** What a pool takes along when its deletion, one of `all`, is not made. */
  restoredWith(poolId: string): readonly Restored[];
  /** The load balancer with these changes made, and all others left as they are served. */
  treeWith(made: ReadonlySet<string>): LoadBalancerTree;
}

/**
 * The changes of a tree. Left alone, as wanted, is what has no kept history since it was served last. Deletions are made in any
 * case: they only take away, and a caller may have used the place since. The exception is the deletion of a pool which a listener
 * left by a change of its own: while that one cannot be made, the pool has to serve on.
 * @param history changes recorded since, of this load balancer: every one above the number from which it is complete
 */
export function pendingChanges(tree: LoadBalancerTree, history: readonly RecordedChange[]): PendingChanges {
  return new TreeChanges(tree, history);
}

class TreeChanges implements PendingChanges {
  readonly all: readonly PendingChange[];
  readonly blocked: ReadonlySet<string>;
  readonly #tree: LoadBalancerTree;
  readonly #effects: ReadonlyMap<string, readonly Effect[]>;
  readonly #oldest: number;
  /** Of members and health monitors, and of listeners that have a default pool. */
  readonly #poolIds: ReadonlyMap<string, string | null>;

  constructor(tree: LoadBalancerTree, history: readonly RecordedChange[]) {
    this.#tree = tree;
    this.#poolIds = new Map([
      ...[...tree.members, ...tree.healthMonitors].map(({ id, poolId }) => [id, poolId] as const),
      ...tree.listeners.map(({ id, defaultPoolId }) => [id, defaultPoolId] as const),
    ]);
    const effects = history.toSorted((a, b) => a.number - b.number).flatMap(effectsOf);
    this.#effects = Map.groupBy(effects, ({ id }) => id);
    this.#oldest = Math.min(...history.map(({ number }) => number));
    const found = treeObjects(tree).flatMap((one) => this.#changeOf(one) ?? []);
    const isPending = new Map(found.map((change) => [change.id, change]));
    const deletions = tree.pools.flatMap((pool) => this.#poolDeletion(pool, isPending) ?? []);
    const kept = new Set(deletions.map(({ id }) => id));
    const gone = new Set(tree.pools.filter((pool) => isBeingDeleted(pool) && !kept.has(pool.id)).map(({ id }) => id));
    const there = new Set(tree.pools.map(({ id }) => id));
    this.all = [...found.flatMap((change) => withoutDangling(change, gone, there)), ...deletions]
      .map((change) => ({ ...change, dependsOn: [...change.dependsOn, ...this.#poolNeeded(change, isPending)] }))
      .sort((a, b) => placeOf(a) - placeOf(b) || a.revision - b.revision);
    this.blocked = this.#blocked();
  }

  restoredWith(poolId: string): Restored[] {
    const pool = this.#tree.pools.find(({ id }) => id === poolId);
    if (!pool) return [];
    return treeObjects(this.#tree).flatMap(({ kind, object }): Restored[] => {
      const isBelow = (kind === 'member' || kind === 'health_monitor') && object.poolId === poolId;
      // What was to be deleted before the pool is, in any case.
      const wentWithIt = object.provisioningStatus === 'PENDING_DELETE' && object.revision === pool.revision;
      if (!isBelow || !wentWithIt || object.appliedRevision === 0) return [];
      return [{ kind, id: object.id, fields: this.#fieldsOf({ kind, object } as TreeObject) ?? {} }];
    });
  }

  treeWith(made: ReadonlySet<string>): LoadBalancerTree {
    const left = this.all.filter(({ id }) => !made.has(id));
    if (left.length === 0) return this.#tree;
    const goodFields = new Map<string, PendingChange['fields']>();
    const omitted = new Set<string>();
    for (const { id, action, fields } of left) {
      if (action === 'CREATE') omitted.add(id);
      else goodFields.set(id, fields);
      if (action === 'DELETE') for (const below of this.restoredWith(id)) goodFields.set(below.id, below.fields);
    }
    const asServed = <T extends TreeObject['object']>(object: T): T => {
      const fields = goodFields.get(object.id);
      if (!fields) return object;
      const good = Object.fromEntries(Object.entries(fields).map(([field, [value]]) => [field, value]));
      return { ...object, ...good, provisioningStatus: 'ACTIVE', fault: null };
    };
    const list = <T extends TreeObject['object']>(objects: readonly T[]): T[] =>
      objects.filter(({ id }) => !omitted.has(id)).map(asServed);
    const { loadBalancer, listeners, pools, members, healthMonitors } = this.#tree;
    return {
      loadBalancer: asServed(loadBalancer),
      listeners: list(listeners),
      pools: list(pools),
      members: list(members),
      healthMonitors: list(healthMonitors),
    };
  }

  /** Null: it has not changed, or must go as it is wanted. */
  #changeOf({ kind, object }: TreeObject): PendingChange | null {
    const { id, revision, requestId, appliedRevision } = object;
    if (isBeingDeleted(object) || !isRendered(object)) return null;
    const change = { kind, id, revision, requestId, dependsOn: [] };
    if (appliedRevision === 0 && kind !== 'load_balancer') return { ...change, action: 'CREATE', fields: {} };
    const fields = this.#fieldsOf({ kind, object } as TreeObject);
    if (!fields || Object.keys(fields).length === 0) return null;
    return { ...change, action: 'UPDATE', fields };
  }

  /** What differs from what is served; null: that is not known any more. */
  #fieldsOf({ object }: TreeObject): PendingChange['fields'] | null {
    const { appliedRevision, revision } = object;
    if (revision <= appliedRevision) return {};
    // The load balancer itself, before it was ever served, has no values to go back to.
    if (appliedRevision === 0 || this.#oldest > appliedRevision + 1) return null;
    const fields: Record<string, readonly [Json, Json]> = {};
    for (const effect of this.#effects.get(object.id) ?? []) {
      // One that was deleted and made anew before that was settled was served with what it had then.
      if (effect.number <= appliedRevision || effect.what === 'created') continue;
      for (const [field, [before]] of Object.entries(effect.fields)) {
        fields[field] ??= [before, (object as unknown as Record<string, Json>)[field] ?? null];
      }
    }
    return Object.fromEntries(Object.entries(fields).filter(([, [good, wanted]]) => !isSame(good, wanted)));
  }

  /** The deletion of a pool as a change that may have to wait; null: nothing speaks against it. */
  #poolDeletion(pool: Pool, pending: ReadonlyMap<string, PendingChange>): PendingChange | null {
    if (pool.provisioningStatus !== 'PENDING_DELETE' || pool.appliedRevision === 0) return null;
    const fields = this.#fieldsOf({ kind: 'pool', object: pool });
    if (!fields) return null;
    const dependsOn = this.#tree.listeners.filter((listener) => this.#leftByItself(listener, pool.id, pending));
    if (dependsOn.length === 0) return null;
    const { id, revision, requestId } = pool;
    const ids = dependsOn.map((listener) => listener.id);
    return { kind: 'pool', id, action: 'DELETE', revision, requestId, fields, dependsOn: ids };
  }

  #leftByItself({ id }: Listener, poolId: string, pending: ReadonlyMap<string, PendingChange>): boolean {
    const change = pending.get(id);
    if (change?.action !== 'UPDATE' || change.fields.defaultPoolId?.[0] !== poolId) return false;
    const left = this.#effects.get(id)?.filter(({ fields }) => fields.defaultPoolId?.[0] === poolId) ?? [];
    return !left.some(({ cause }) => cause.action === 'DELETE' && cause.objectId === poolId);
  }

  /** The pool that a change needs, when that is new. */
  #poolNeeded(change: PendingChange, pending: ReadonlyMap<string, PendingChange>): string[] {
    const poolId = this.#poolOf(change);
    return poolId !== null && pending.get(poolId)?.action === 'CREATE' ? [poolId] : [];
  }

  #poolOf({ kind, id, action, fields }: PendingChange): string | null {
    const keepsPool = kind === 'listener' && action === 'UPDATE' && !('defaultPoolId' in fields);
    return keepsPool ? null : (this.#poolIds.get(id) ?? null);
  }

  #blocked(): Set<string> {
    const refused = new Set(
      this.#tree.pools
        .filter((pool) => pool.appliedRevision === 0 && !isBeingDeleted(pool) && !isRendered(pool))
        .map(({ id }) => id),
    );
    const first = this.all.filter((change) => refused.has(this.#poolOf(change) ?? ''));
    return new Set(first.flatMap(({ id }) => [id, ...dependentsOf(id, this.all).map((one) => one.id)]));
  }
}

function placeOf({ kind, action }: PendingChange): number {
  return action === 'DELETE' ? ORDER.length : ORDER.indexOf(kind);
}

/** What cannot be made without the change `id`, directly or by way of others. */
export function dependentsOf<T extends Pick<PendingChange, 'id' | 'dependsOn'>>(id: string, all: readonly T[]): T[] {
  const found = new Set([id]);
  for (let size = 0; size < found.size; ) {
    size = found.size;
    for (const one of all) if (one.dependsOn.some((needed) => found.has(needed))) found.add(one.id);
  }
  return all.filter((one) => one.id !== id && found.has(one.id));
}

/** A listener cannot go back to a pool that goes: then it has none. */
function withoutDangling(
  change: PendingChange,
  gone: ReadonlySet<string>,
  there: ReadonlySet<string>,
): PendingChange[] {
  const [good, wanted] = change.fields.defaultPoolId ?? [null, null];
  if (change.kind !== 'listener' || typeof good !== 'string' || (!gone.has(good) && there.has(good))) return [change];
  const { defaultPoolId: _, ...others } = change.fields;
  const fields = wanted === null ? others : { ...others, defaultPoolId: [null, wanted] as const };
  return Object.keys(fields).length === 0 ? [] : [{ ...change, fields }];
}
