import { describe, expect, it } from 'vitest';
import { deletionOf, poolDeletionOf, type RecordedChange } from './history.ts';
import { pendingChanges } from './last-good.ts';
import type { Listener, LoadBalancerTree, Member, Pool } from './objects.ts';

const intent = (id: string, revision: number, appliedRevision: number) => ({
  id,
  projectId: 'p',
  author: 'a',
  requestId: `request-${revision}`,
  name: id,
  adminStateUp: true,
  tags: [],
  provisioningStatus: appliedRevision === revision ? ('ACTIVE' as const) : ('PENDING_UPDATE' as const),
  fault: null,
  revision,
  appliedRevision,
  createdAt: new Date(0),
  updatedAt: null,
});
const listener = (id: string, revision: number, applied: number, more: Partial<Listener> = {}): Listener => ({
  ...intent(id, revision, applied),
  loadBalancerId: 'lb',
  description: '',
  protocol: 'HTTP',
  protocolPort: 80,
  connectionLimit: -1,
  defaultPoolId: null,
  insertHeaders: {},
  timeoutClientData: 1,
  timeoutMemberConnect: 1,
  timeoutMemberData: 1,
  timeoutTcpInspect: 0,
  ...more,
});
const pool = (id: string, revision: number, applied: number, more: Partial<Pool> = {}): Pool => ({
  ...intent(id, revision, applied),
  loadBalancerId: 'lb',
  description: '',
  protocol: 'HTTP',
  lbAlgorithm: 'ROUND_ROBIN',
  sessionPersistence: null,
  ...more,
});
const member = (id: string, poolId: string, revision: number, applied: number, more: Partial<Member> = {}): Member => ({
  ...intent(id, revision, applied),
  loadBalancerId: 'lb',
  poolId,
  address: '10.0.0.1',
  protocolPort: 80,
  weight: 1,
  backup: false,
  subnetId: null,
  monitorAddress: null,
  monitorPort: null,
  ...more,
});
const tree = (parts: Partial<LoadBalancerTree>): LoadBalancerTree => ({
  loadBalancer: {
    ...intent('lb', 1, 1),
    description: '',
    provider: 'amphora',
    flavorId: null,
    availabilityZone: null,
    apolocationGroup: null,
    topology: 'SINGLE',
    vip: { address: '10.0.0.9', subnetId: 's', networkId: null, portId: null },
    desiredRevision: 9,
  },
  listeners: [],
  pools: [],
  members: [],
  healthMonitors: [],
  ...parts,
});
const update = (number: number, objectId: string, changes: RecordedChange['changes']): RecordedChange => ({
  number,
  objectKind: 'listener',
  objectId,
  action: 'UPDATE',
  changes,
});
const GONE = { provisioningStatus: 'PENDING_DELETE' } as const;

describe('what changed since it was served last', () => {
  it('is the first old value and the newest one of each field, over several changes', () => {
    const wanted = tree({ listeners: [listener('l', 7, 4, { connectionLimit: 30, name: 'same' })] });
    const changes = pendingChanges(wanted, [
      update(5, 'l', { connectionLimit: [10, 20], name: ['same', 'other'] }),
      update(6, 'other', { connectionLimit: [1, 2] }),
      update(7, 'l', { connectionLimit: [20, 30], name: ['other', 'same'] }),
    ]);
    expect(changes.all).toMatchObject([{ id: 'l', action: 'UPDATE', fields: { connectionLimit: [10, 30] } }]);
    expect(changes.treeWith(new Set()).listeners[0]).toMatchObject({
      connectionLimit: 10,
      provisioningStatus: 'ACTIVE',
    });
    expect(changes.treeWith(new Set(['l']))).toBe(wanted);
  });

  it('is left as it is wanted where the history is not kept any more', () => {
    const changes = pendingChanges(tree({ listeners: [listener('l', 7, 4)] }), [update(7, 'l', { name: ['a', 'l'] })]);
    expect(changes.all).toEqual([]);
  });

  it('makes what is new depend on the new pool that it needs', () => {
    const changes = pendingChanges(
      tree({
        listeners: [listener('l', 6, 1, { defaultPoolId: 'p' }), listener('other', 7, 0)],
        pools: [pool('p', 5, 0)],
        members: [member('m', 'p', 4, 0)],
      }),
      [2, 3, 4]
        .map((number) => update(number, 'x', {}))
        .concat([
          { number: 5, objectKind: 'pool', objectId: 'p', action: 'CREATE', changes: {} },
          update(6, 'l', { defaultPoolId: [null, 'p'] }),
        ]),
    );
    expect(changes.all.map(({ id, dependsOn }) => [id, dependsOn])).toEqual([
      ['p', []],
      ['l', ['p']],
      ['other', []],
      ['m', ['p']],
    ]);
    const without = changes.treeWith(new Set(['other']));
    expect(without).toMatchObject({ pools: [], members: [], listeners: [{ defaultPoolId: null }, { id: 'other' }] });
  });

  it('blocks what depends on a pool that was refused before', () => {
    const fault = { reason: 'CONFIGURATION_REFUSED', message: 'no' };
    const changes = pendingChanges(
      tree({ pools: [pool('p', 5, 0, { provisioningStatus: 'ERROR', fault })], members: [member('m', 'p', 6, 0)] }),
      [],
    );
    expect([...changes.blocked]).toEqual(['m']);
  });

  it('takes a pool from its listener in any case when the pool’s own deletion does that', () => {
    const gone = { listenerIds: ['l'], members: [], healthMonitors: [] };
    const wanted = tree({
      listeners: [listener('l', 7, 4, { defaultPoolId: null, connectionLimit: 5 })],
      pools: [pool('p', 7, 4, GONE)],
    });
    const changes = pendingChanges(wanted, [
      update(5, 'l', { connectionLimit: [1, 5] }),
      update(6, 'x', {}),
      {
        number: 7,
        objectKind: 'pool',
        objectId: 'p',
        action: 'DELETE',
        changes: poolDeletionOf(pool('p', 4, 4), gone),
      },
    ]);
    expect(changes.all.map(({ id }) => id)).toEqual(['l']);
    expect(changes.treeWith(new Set())).toMatchObject({
      listeners: [{ defaultPoolId: null, connectionLimit: 1 }],
      pools: [GONE],
    });
  });

  it('lets a pool serve on while the listener that left it cannot leave, with the members that went with it', () => {
    const wanted = tree({
      listeners: [listener('l', 7, 4, { defaultPoolId: 'new' })],
      pools: [pool('old', 9, 4, GONE), pool('new', 6, 0)],
      members: [
        member('before', 'old', 8, 4, GONE),
        member('with', 'old', 9, 4, { ...GONE, weight: 7 }),
        member('never', 'old', 9, 0, GONE),
      ],
    });
    const changes = pendingChanges(wanted, [
      { ...update(5, 'with', { weight: [2, 7] }), objectKind: 'member' },
      { number: 6, objectKind: 'pool', objectId: 'new', action: 'CREATE', changes: {} },
      update(7, 'l', { defaultPoolId: ['old', 'new'] }),
      { ...update(8, 'before', deletionOf(member('before', 'old', 4, 4))), objectKind: 'member', action: 'DELETE' },
      {
        number: 9,
        objectKind: 'pool',
        objectId: 'old',
        action: 'DELETE',
        changes: poolDeletionOf(pool('old', 4, 4), {
          listenerIds: [],
          members: [member('with', 'old', 9, 4)],
          healthMonitors: [],
        }),
      },
    ]);
    expect(changes.all.map(({ id, action, dependsOn }) => [id, action, dependsOn])).toEqual([
      ['new', 'CREATE', []],
      ['l', 'UPDATE', ['new']],
      ['old', 'DELETE', ['l']],
    ]);
    const served = changes.treeWith(new Set());
    expect(served.listeners).toMatchObject([{ defaultPoolId: 'old' }]);
    expect(served.pools).toMatchObject([{ id: 'old', provisioningStatus: 'ACTIVE' }]);
    expect(served.members.map(({ id, provisioningStatus, weight }) => [id, provisioningStatus, weight])).toEqual([
      ['before', 'PENDING_DELETE', 1],
      ['with', 'ACTIVE', 2],
      ['never', 'PENDING_DELETE', 1],
    ]);
  });
});
