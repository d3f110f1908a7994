import { randomUUID } from 'node:crypto';
import { Trees } from '@octavia/db';
import { compare, wantedOf } from '@octavia/domain';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createAll, listener, loadBalancer, member, pool } from './messages.ts';
import { failure, queued, settle, startWorld, tenant, type World } from './world.ts';

let world: World;
let id: string;
let made: Awaited<ReturnType<typeof createAll>>;
const alice = tenant();
const requestId = '';

beforeAll(async () => {
  world = await startWorld();
});
afterAll(() => world.stop());
beforeEach(async () => {
  made = await createAll(world, alice);
  id = made.lb.id;
  await settle(world, id);
});

const back = (revision: number, more: { validateOnly?: boolean; etag?: string; requestId?: string } = {}, as = alice) =>
  world.revisions.rollbackLoadBalancer({ id, revision, validateOnly: false, etag: '', requestId, ...more }, as);
const list = (more: { objectId?: string; before?: number; pageSize?: number } = {}) =>
  world.revisions.listRevisions({ loadBalancerId: id, objectId: '', before: 0, pageSize: 0, ...more }, alice);
const diff = (from: number, to = 0) => world.revisions.compareRevisions({ loadBalancerId: id, from, to }, alice);

async function wanted() {
  const tree = await new Trees().read(world.db.reader, id);
  if (!tree) throw new Error('It is gone.');
  return wantedOf(tree);
}
async function newest(): Promise<number> {
  return (await world.loadBalancers.getLoadBalancer({ id }, alice)).revision;
}
async function quotas(): Promise<Record<string, number>> {
  const rows: { resource: string; in_use: number }[] = await world.db.reader.query(
    'SELECT resource, in_use FROM quota WHERE project_id = $1',
    [alice.caller.projectId],
  );
  return Object.fromEntries(rows.map(({ resource, in_use: inUse }) => [resource, inUse]));
}
/** Everything that a caller can do, once. */
async function changeAll(): Promise<void> {
  const { front, back: old, server, monitor } = made;
  await world.members.updateMember(
    { member: member('', { id: server.id, ...UNSET, weight: 7 }), requestId, updateMask: ['weight'] },
    alice,
  );
  const other = await world.pools.createPool({ pool: pool(id, { name: 'green' }), listenerId: '', requestId }, alice);
  await world.members.createMember({ member: member(other.id), requestId }, alice);
  await world.healthMonitors.deleteHealthMonitor({ id: monitor.id, etag: '', requestId }, alice);
  await world.pools.deletePool({ id: old.id, etag: '', requestId }, alice);
  await world.listeners.deleteListener({ id: front.id, etag: '', requestId }, alice);
  await world.listeners.createListener({ listener: listener(id, { defaultPoolId: other.id }), requestId }, alice);
  await world.loadBalancers.updateLoadBalancer(
    { loadBalancer: loadBalancer({ id, name: 'renamed', tags: ['a'] }), updateMask: ['name', 'tags'], requestId },
    alice,
  );
}
const UNSET = { address: '', protocolPort: 0, poolId: '' };

describe('the revisions of a load balancer', () => {
  it('are listed newest first, with what each changed, page by page', async () => {
    const { revisions } = await list();
    expect(revisions.map(({ number, objectKind, action }) => [number, objectKind, action])).toEqual([
      [5, 'health_monitor', 'CREATE'],
      [4, 'member', 'CREATE'],
      [3, 'pool', 'CREATE'],
      [2, 'listener', 'CREATE'],
      [1, 'load_balancer', 'CREATE'],
    ]);
    expect(revisions[2]).toMatchObject({ author: 'alice', objectId: made.back.id, loadBalancerId: id });
    expect(revisions[2]?.changes[1]).toEqual({
      objectKind: 'listener',
      objectId: made.front.id,
      kind: 'CHANGE_KIND_UPDATED',
      fields: [{ field: 'default_pool_id', oldValue: null, newValue: made.back.id }],
    });
    const first = await list({ pageSize: 3 });
    expect(first.revisions.map(({ number }) => number)).toEqual([5, 4, 3]);
    const second = await list({ pageSize: 3, before: first.nextBefore });
    expect([second.revisions.map(({ number }) => number), second.nextBefore]).toEqual([[2, 1], 0]);
    expect((await list({ objectId: made.server.id })).revisions.map(({ number }) => number)).toEqual([4]);
  });

  it('are compared by what callers wanted then', async () => {
    await changeAll();
    const server = { objectKind: 'member', objectId: made.server.id };
    expect((await diff(5, 6)).changes).toEqual([
      { ...server, kind: 'CHANGE_KIND_UPDATED', fields: [{ field: 'weight', oldValue: 1, newValue: 7 }] },
    ]);
    expect((await diff(6, 5)).changes[0]?.fields).toEqual([{ field: 'weight', oldValue: 7, newValue: 1 }]);
    const all = await diff(5);
    expect(all.to).toBe(await newest());
    expect(all.changes.map(({ objectKind, kind }) => `${objectKind} ${kind}`).sort()).toEqual([
      'health_monitor CHANGE_KIND_DELETED',
      'listener CHANGE_KIND_CREATED',
      'listener CHANGE_KIND_DELETED',
      'load_balancer CHANGE_KIND_UPDATED',
      'member CHANGE_KIND_CREATED',
      'member CHANGE_KIND_DELETED',
      'pool CHANGE_KIND_CREATED',
      'pool CHANGE_KIND_DELETED',
    ]);
    await settle(world, id);
    expect((await diff(5)).changes).toEqual(all.changes);
  });

  it('are of their project only, and are asked for by numbers that there are', async () => {
    const bob = tenant();
    const foreign = world.revisions.listRevisions({ loadBalancerId: id, objectId: '', before: 0, pageSize: 0 }, bob);
    expect(await failure(foreign)).toMatchObject({ reason: 'LOAD_BALANCER_NOT_FOUND' });
    expect(await failure(back(3, {}, bob))).toMatchObject({ reason: 'LOAD_BALANCER_NOT_FOUND' });
    expect(await failure(diff(6))).toMatchObject({ fields: { from: 'OUT_OF_RANGE' } });
    expect(await failure(diff(1, 9))).toMatchObject({ fields: { to: 'OUT_OF_RANGE' } });
    expect(await failure(back(0))).toMatchObject({ fields: { revision: 'OUT_OF_RANGE' } });
  });
});

describe('going back', () => {
  it.each([false, true])(
    'restores everything that there was, with its ids (deletions settled: %s)',
    async (isSettled) => {
      const then = await wanted();
      const used = await quotas();
      await changeAll();
      if (isSettled) await settle(world, id);
      const changed = await newest();
      const { loadBalancer: lb, changes } = await back(5);
      expect(compare(await wanted(), then)).toEqual([]);
      expect(changes).toHaveLength(8);
      expect(lb?.provisioningStatus).toBe('PROVISIONING_STATUS_PENDING_UPDATE');
      expect(lb?.revision).toBeGreaterThan(changed);
      expect(await queued(world, id)).toEqual(['load_balancer.update']);
      await settle(world, id);
      // What is pending is counted until it is gone; what came back was never counted twice.
      if (isSettled) expect(await quotas()).toMatchObject({ load_balancer: used.load_balancer });
      // The way back is a change as any other: it can be taken back, too.
      await back(changed);
      expect(compare(await wanted(), then)).not.toEqual([]);
      await back(5);
      expect(compare(await wanted(), then)).toEqual([]);
      const { events } = await world.events.listEvents(
        { loadBalancerId: id, after: '', before: '', newestFirst: true, pageSize: 1 },
        alice,
      );
      expect(events[0]?.message).toMatch(/^alice took load balancer web back to revision 5/);
    },
  );

  it('to every earlier revision is what a comparison says', async () => {
    await changeAll();
    const last = await newest();
    for (let revision = last - 1; revision >= 1; revision--) {
      const told = (await diff(await newest(), revision)).changes;
      const { changes } = await back(revision);
      expect(changes).toEqual(told);
      expect((await diff(revision)).changes).toEqual([]);
    }
  });

  it('changes nothing when it is only to be checked, or when nothing differs', async () => {
    await changeAll();
    const before = [await newest(), await wanted(), await quotas()];
    const { changes, loadBalancer: lb } = await back(5, { validateOnly: true, requestId: randomUUID() });
    expect(changes).toHaveLength(8);
    expect(lb?.id).toBe(id);
    expect([await newest(), await wanted(), await quotas()]).toEqual(before);
    expect((await back(await newest())).changes).toEqual([]);
    expect(await newest()).toBe(before[0]);
  });

  it('is done once for each request id, and only from the state that the caller saw', async () => {
    await changeAll();
    expect(await failure(back(5, { etag: 'old' }))).toMatchObject({ reason: 'ETAG_MISMATCH' });
    const again = { requestId: randomUUID() };
    await back(5, again);
    const after = await newest();
    expect((await back(5, again)).loadBalancer?.revision).toBe(after);
    expect(await failure(back(4, again))).toMatchObject({ reason: 'REQUEST_ID_REUSED' });
  });

  it('is refused when the history is not kept, with the oldest revision to go back to', async () => {
    await world.db.reader.query('DELETE FROM revision WHERE load_balancer_id = $1 AND number <= 3', [id]);
    expect(await failure(back(2))).toMatchObject({ reason: 'HISTORY_PURGED', details: { oldest: '3' } });
    expect(await failure(diff(1))).toMatchObject({ reason: 'HISTORY_PURGED' });
    expect((await back(3)).changes).toHaveLength(2);
  });

  it('is refused when an object does not fit any more: its values, or the quota', async () => {
    await world.members.deleteMember({ id: made.server.id, etag: '', requestId }, alice);
    await settle(world, id);
    await world.db.reader.query(
      `UPDATE revision SET changes = jsonb_set(changes, '{address}', '["169.254.169.254", null]')
       WHERE load_balancer_id = $1 AND action = 'DELETE'`,
      [id],
    );
    expect(await failure(back(5))).toMatchObject({ reason: 'ROLLBACK_NOT_POSSIBLE', details: { id: made.server.id } });
    await world.db.reader.query(
      `UPDATE revision SET changes = jsonb_set(changes, '{address}', '["10.0.0.1", null]')
       WHERE load_balancer_id = $1 AND action = 'DELETE'`,
      [id],
    );
    await world.db.reader.query(`UPDATE quota SET max = 0, in_use = 0 WHERE project_id = $1 AND resource = 'member'`, [
      alice.caller.projectId,
    ]);
    expect(await failure(back(5))).toMatchObject({ reason: 'QUOTA_EXCEEDED' });
    await world.db.reader.query(`UPDATE quota SET max = NULL WHERE project_id = $1`, [alice.caller.projectId]);
  });

  it('is not possible while it is being deleted', async () => {
    await world.loadBalancers.deleteLoadBalancer({ id, cascade: true, etag: '', requestId }, alice);
    expect(await failure(back(3))).toMatchObject({ reason: 'LOAD_BALANCER_BEING_DELETED' });
  });
});
