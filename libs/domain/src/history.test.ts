import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type Action,
  compare,
  type Delta,
  deletionOf,
  deltaOf,
  effectsOf,
  type Fields,
  poolDeletionOf,
  type RecordedChange,
  rewind,
  type Wanted,
} from './history.ts';
import type { ObjectKind } from './objects.ts';

/** Random changes of listeners, pools and members, made and recorded as the gateway does. */
const steps = fc.array(
  fc.record({
    what: fc.constantFrom('addListener', 'addPool', 'addMember', 'change', 'use', 'remove'),
    which: fc.nat(20),
    value: fc.nat(3),
  }),
  { maxLength: 40 },
);
type Steps = typeof steps extends fc.Arbitrary<infer T> ? T : never;
type Objects = Map<string, { kind: 'listener' | 'pool' | 'member'; fields: Record<string, string | number | null> }>;

function play(list: Steps): { states: Wanted[]; changes: RecordedChange[] } {
  const now: Objects = new Map();
  const changes: RecordedChange[] = [];
  const copy = (): Wanted => new Map([...now].map(([id, one]) => [id, { ...one, fields: { ...one.fields } }]));
  const states = [copy()];
  const record = (objectKind: 'listener' | 'pool' | 'member', objectId: string, action: Action, delta: Delta) => {
    changes.push({ number: changes.length + 1, objectKind, objectId, action, changes: delta });
    states.push(copy());
  };
  for (const { what, which, value } of list) {
    const id = `${what}-${changes.length}`;
    const of = (kind: string) => [...now].filter(([, one]) => one.kind === kind);
    const pick = (kind: string) => of(kind)[which % Math.max(1, of(kind).length)];
    const add = (kind: 'listener' | 'pool' | 'member', fields: Record<string, string | number | null>) => {
      now.set(id, { kind, fields: { id, ...fields } });
      record(kind, id, 'CREATE', deltaOf(null, { id, ...fields }));
    };
    const set = (target: string, field: string, next: string | number | null) => {
      const one = now.get(target);
      if (!one) return;
      const old = { ...one.fields };
      one.fields[field] = next;
      record(one.kind, target, 'UPDATE', deltaOf(old, one.fields));
    };
    const pool = pick('pool')?.[0];
    const any = [...now.keys()][which % Math.max(1, now.size)];
    if (what === 'addListener') add('listener', { limit: value, defaultPoolId: pool ?? null });
    if (what === 'addPool') add('pool', { limit: value });
    if (what === 'addMember' && pool) add('member', { limit: value, poolId: pool });
    if (what === 'change' && any) set(any, 'limit', value);
    const listener = pick('listener')?.[0];
    if (what === 'use' && listener) set(listener, 'defaultPoolId', pool ?? null);
    if (what === 'remove' && any) remove(now, any, record);
  }
  return { states, changes };
}

function remove(
  now: Objects,
  id: string,
  record: (kind: 'listener' | 'pool' | 'member', id: string, action: Action, delta: Delta) => void,
): void {
  const gone = now.get(id);
  if (!gone) return;
  now.delete(id);
  if (gone.kind !== 'pool') {
    record(gone.kind, id, 'DELETE', deletionOf(gone.fields));
    return;
  }
  const users = [...now].filter(([, { fields }]) => fields.defaultPoolId === id);
  for (const [, one] of users) one.fields.defaultPoolId = null;
  const members = [...now].filter(([, { fields }]) => fields.poolId === id);
  for (const [member] of members) now.delete(member);
  const below = { listenerIds: users.map(([user]) => user), members: members.map(([, one]) => one.fields) };
  record('pool', id, 'DELETE', poolDeletionOf(gone.fields, { ...below, healthMonitors: [] }));
}

describe('the history of a load balancer', () => {
  it('leads back to every state that there was, whatever was changed, made and deleted', () => {
    fc.assert(
      fc.property(steps, (list) => {
        const { states, changes } = play(list);
        const now = states.at(-1) ?? new Map();
        for (const [number, then] of states.entries()) {
          const back = rewind(
            now,
            changes.filter((change) => change.number > number),
          );
          expect(compare(back, then)).toEqual([]);
        }
      }),
    );
  });

  it('tells what differs between two states, by kind', () => {
    const from: Wanted = new Map<string, { kind: ObjectKind; fields: Fields }>([
      ['m', { kind: 'member', fields: { weight: 1, tags: ['a'] } }],
      ['l', { kind: 'listener', fields: { headers: { a: '1', b: '2' } } }],
    ]);
    const to: Wanted = new Map<string, { kind: ObjectKind; fields: Fields }>([
      ['m', { kind: 'member', fields: { weight: 2, tags: ['a'] } }],
      ['l', { kind: 'listener', fields: { headers: { b: '2', a: '1' } } }],
      ['p', { kind: 'pool', fields: { name: 'new', description: null } }],
    ]);
    expect(compare(from, to)).toEqual([
      { kind: 'pool', id: 'p', what: 'created', fields: { name: [null, 'new'] } },
      { kind: 'member', id: 'm', what: 'updated', fields: { weight: [1, 2] } },
    ]);
    expect(compare(to, from)[0]).toEqual({ kind: 'pool', id: 'p', what: 'deleted', fields: { name: ['new', null] } });
  });

  it('knows what a change of one object did to others', () => {
    const created = { number: 3, objectKind: 'pool', objectId: 'p', action: 'CREATE' } as const;
    const effects = effectsOf({ ...created, changes: { name: ['n'], listenerId: ['l'] } });
    expect(effects.map(({ id, what, fields }) => [id, what, fields])).toEqual([
      ['p', 'created', { name: [null, 'n'] }],
      ['l', 'updated', { defaultPoolId: [null, 'p'] }],
    ]);
  });
});
