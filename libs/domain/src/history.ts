/** What callers changed, as it is kept: forwards for a reader, backwards to what was before. */
import type { Json } from './flow.ts';
import { type LoadBalancerTree, OBJECT_KINDS, type ObjectKind } from './objects.ts';
import { treeObjects } from './tree.ts';

/** Field of the domain type to [old, new], or to [new] where there was no object before. */
export type Delta = Readonly<Record<string, readonly Json[]>>;
export type Action = 'CREATE' | 'UPDATE' | 'DELETE' | 'FAILOVER';

/** One change of a load balancer, as it was recorded. */
export interface RecordedChange {
  /** From 1 within the load balancer. */
  readonly number: number;
  readonly objectKind: ObjectKind;
  readonly objectId: string;
  readonly action: Action;
  readonly changes: Delta;
}

/** What a caller wants of an object: its fields without those that tell of our progress or of the change itself. */
export type Fields = Readonly<Record<string, Json>>;

/** What one change did to one object. */
export interface Effect {
  readonly number: number;
  /** Whose change it was: a pool that goes takes itself from its listeners. */
  readonly cause: Pick<RecordedChange, 'objectId' | 'action'>;
  readonly kind: ObjectKind;
  readonly id: string;
  readonly what: 'created' | 'updated' | 'deleted';
  /** Field to [old, new]. */
  readonly fields: Readonly<Record<string, readonly [Json, Json]>>;
}

/** What callers want at one instant: by id. */
export type Wanted = ReadonlyMap<string, { readonly kind: ObjectKind; readonly fields: Fields }>;

/** What differs between two instants in one object. */
export type Difference = Pick<Effect, 'kind' | 'id' | 'what' | 'fields'>;

const BOOKKEEPING: ReadonlySet<string> = new Set([
  'author',
  'requestId',
  'provisioningStatus',
  'fault',
  'revision',
  'appliedRevision',
  'desiredRevision',
  'createdAt',
  'updatedAt',
]);

export function fieldsOf(object: object): Fields {
  return Object.fromEntries(Object.entries(object).filter(([field]) => !BOOKKEEPING.has(field)));
}

/** What differs between two states of one object, or all of it where there is no old one. */
export function deltaOf<T extends object>(old: T | null, now: T): Delta {
  if (old === null) return Object.fromEntries(Object.entries(fieldsOf(now)).map(([field, value]) => [field, [value]]));
  return differencesOf(fieldsOf(old), fieldsOf(now));
}

/** What goes with an object, so that it can be made anew. */
export function deletionOf(object: object): Delta {
  return Object.fromEntries(Object.entries(fieldsOf(object)).map(([field, value]) => [field, [value, null]]));
}

/** What goes with a pool: what is below it, and its place in its listeners. */
export function poolDeletionOf(
  pool: object,
  gone: {
    readonly listenerIds: readonly string[];
    readonly members: readonly object[];
    readonly healthMonitors: readonly object[];
  },
): Delta {
  return {
    ...deletionOf(pool),
    listenerIds: [gone.listenerIds, []],
    members: [gone.members.map(fieldsOf), []],
    healthMonitors: [gone.healthMonitors.map(fieldsOf), []],
  };
}

/** What a change did to which objects, in order. */
export function effectsOf(change: RecordedChange): Effect[] {
  const { number, objectKind: kind, objectId: id, action, changes } = change;
  if (action === 'FAILOVER') return [];
  const cause = { objectId: id, action };
  const { listenerId, listenerIds, members, healthMonitors, ...own } = changes;
  const isPool = kind === 'pool';
  const effect = (of: ObjectKind, whose: string, what: Effect['what'], fields: Effect['fields']): Effect => ({
    number,
    cause,
    kind: of,
    id: whose,
    what,
    fields,
  });
  const pairs = Object.entries(isPool ? own : changes).map(([field, [first = null, second]]) => {
    const pair: readonly [Json, Json] = action === 'CREATE' ? [null, first] : [first, second ?? null];
    return [field, pair] as const;
  });
  const what = action === 'CREATE' ? 'created' : action === 'DELETE' ? 'deleted' : 'updated';
  const effects = [effect(kind, id, what, Object.fromEntries(pairs))];
  if (!isPool) return effects;
  const gone = (of: ObjectKind, objects: Json | undefined): Effect[] =>
    listOf(objects).map((fields) => {
      const before = Object.entries(fields as Fields).map(([field, value]) => [field, [value, null]] as const);
      return effect(of, String((fields as Fields).id), 'deleted', Object.fromEntries(before));
    });
  for (const listener of listenerId ?? []) {
    effects.push(effect('listener', String(listener), 'updated', { defaultPoolId: [null, id] }));
  }
  for (const listener of listOf(listenerIds?.[0])) {
    effects.push(effect('listener', String(listener), 'updated', { defaultPoolId: [id, null] }));
  }
  return [...effects, ...gone('member', members?.[0]), ...gone('health_monitor', healthMonitors?.[0])];
}

/** What callers want now: what is being deleted is not in it. */
export function wantedOf(tree: LoadBalancerTree): Wanted {
  const objects = treeObjects(tree).filter(({ object }) => object.provisioningStatus !== 'PENDING_DELETE');
  return new Map(objects.map(({ kind, object }) => [object.id, { kind, fields: fieldsOf(object) }]));
}

/** What callers wanted before `changes`, which are all changes since then, in any order. */
export function rewind(now: Wanted, changes: readonly RecordedChange[]): Wanted {
  const state = new Map(now);
  for (const change of [...changes].sort((a, b) => b.number - a.number)) {
    for (const { kind, id, what, fields } of effectsOf(change).reverse()) {
      const old = Object.fromEntries(Object.entries(fields).map(([field, [before]]) => [field, before]));
      const there = state.get(id);
      if (what === 'created') state.delete(id);
      else if (what === 'deleted') state.set(id, { kind, fields: old });
      else if (there) state.set(id, { kind, fields: { ...there.fields, ...old } });
    }
  }
  return state;
}

/** What has to change to get from one state to another, by kind and id. */
export function compare(from: Wanted, to: Wanted): Difference[] {
  const differences: Difference[] = [];
  for (const [id, { kind, fields }] of from) {
    const now = to.get(id);
    const changed = differencesOf(fields, now?.fields ?? {});
    if (!now) differences.push({ kind, id, what: 'deleted', fields: changed });
    else if (Object.keys(changed).length > 0) differences.push({ kind, id, what: 'updated', fields: changed });
  }
  for (const [id, { kind, fields }] of to) {
    if (!from.has(id)) differences.push({ kind, id, what: 'created', fields: differencesOf({}, fields) });
  }
  const place = ({ kind }: Difference): number => OBJECT_KINDS.indexOf(kind);
  return differences.sort((a, b) => place(a) - place(b) || (a.id < b.id ? -1 : 1));
}

/** Whether two values of a field are the same; the order of keys says nothing. */
export function isSame(a: Json | undefined, b: Json | undefined): boolean {
  return canonical(a ?? null) === canonical(b ?? null);
}

function differencesOf(old: Fields, now: Fields): Record<string, readonly [Json, Json]> {
  const fields = new Set([...Object.keys(old), ...Object.keys(now)]);
  const pairs = [...fields].map((field) => [field, [old[field] ?? null, now[field] ?? null] as const] as const);
  return Object.fromEntries(pairs.filter(([, [before, after]]) => !isSame(before, after)));
}

function canonical(value: Json): string {
  return JSON.stringify(value, (_, inner: unknown) =>
    inner !== null && typeof inner === 'object' && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}

function listOf(value: Json | undefined): readonly Json[] {
  return Array.isArray(value) ? value : [];
}
