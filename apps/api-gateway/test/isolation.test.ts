import { randomUUID } from 'node:crypto';
import { insertAmphora } from '@octavia/db/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadBalancer } from './messages.ts';
import { admin, failure, ORPHAN, queued, settle, startWorld, tenant, type World } from './world.ts';

let world: World;
beforeAll(async () => {
  world = await startWorld();
});
afterAll(() => world.stop());

const alice = tenant();
const FENCE = { reason: 'FENCE_NOT_CONFIRMED', message: 'It may still hold the VIP.' };

/** A settled load balancer with an amphora. */
async function serving() {
  const lb = await world.loadBalancers.createLoadBalancer({ loadBalancer: loadBalancer(), requestId: '' }, alice);
  await settle(world, lb.id);
  const amphoraId = await insertAmphora(world.db.reader, { loadBalancerId: lb.id });
  return { id: lb.id, amphoraId };
}
const failover = async (amphoraId: string) =>
  (await world.amphorae.failoverAmphora({ id: amphoraId, requestId: '' }, admin)).flowId;
const give = (flowId: string, state: 'QUEUED' | 'FAILED') =>
  world.db.reader.query(
    `UPDATE flow SET state = $2, last_error = $3, attempt = 2, run_at = now() + interval '1 hour',
       finished_at = CASE WHEN $2 = 'FAILED' THEN now() END WHERE id = $1`,
    [flowId, state, JSON.stringify(FENCE)],
  );
const confirm = (id: string, requestId = '') => world.amphorae.confirmFence({ id, requestId }, admin);
const flow = (id: string) => world.flows.getFlow({ id }, admin);

describe('a confirmation that an amphora is isolated', () => {
  it('wakes the flow that waits for it, is shown, and is an event with its author', async () => {
    const { id, amphoraId } = await serving();
    const flowId = await failover(amphoraId);
    await give(flowId, 'QUEUED');
    const answer = await confirm(amphoraId);
    expect(answer).toMatchObject({ flowId, amphora: { id: amphoraId, fenceConfirmedBy: 'root' } });
    expect((await flow(flowId)).nextTryAt?.getTime()).toBeLessThan(Date.now() + 1_000);
    expect((await world.amphorae.getAmphora({ id: amphoraId }, admin)).fenceConfirmedAt).toBeInstanceOf(Date);
    const { events } = await world.events.listEvents(
      { loadBalancerId: id, after: '', before: '', newestFirst: true, pageSize: 1 },
      admin,
    );
    expect(events).toMatchObject([
      {
        kind: 'amphora_fence_confirmed',
        author: 'root',
        message: `root has made sure that amphora ${amphoraId} is isolated.`,
      },
    ]);
  });

  it('starts the failover again that gave up for it, once, however often it is repeated', async () => {
    const { id, amphoraId } = await serving();
    await give(await failover(amphoraId), 'FAILED');
    const requestId = randomUUID();
    const { flowId } = await confirm(amphoraId, requestId);
    expect(await flow(flowId)).toMatchObject({ name: 'amphora.failover', amphoraId, author: 'root' });
    await confirm(amphoraId, requestId);
    await confirm(amphoraId);
    expect(await queued(world, id)).toEqual(['amphora.failover']);
  });

  it('starts the deletion again that gave up for it', async () => {
    const { id, amphoraId } = await serving();
    await world.loadBalancers.deleteLoadBalancer({ id, cascade: true, etag: '', requestId: '' }, alice);
    const { flows } = await world.flows.listFlows(
      {
        pageSize: 1,
        pageToken: '',
        loadBalancerId: id,
        amphoraId: '',
        state: 'FLOW_STATE_UNSPECIFIED',
        openOnly: true,
      },
      admin,
    );
    await give(flows[0]?.id ?? '', 'FAILED');
    await world.db.reader.query(
      `UPDATE load_balancer SET provisioning_status = 'ERROR', fault_reason = $2, fault_message = $3 WHERE id = $1`,
      [id, FENCE.reason, FENCE.message],
    );
    const { flowId } = await confirm(amphoraId);
    expect(await flow(flowId)).toMatchObject({ name: 'load_balancer.delete', state: 'FLOW_STATE_QUEUED' });
    expect((await world.loadBalancers.getLoadBalancer({ id }, alice)).provisioningStatus).toBe(
      'PROVISIONING_STATUS_PENDING_DELETE',
    );
  });

  it('replaces everything where a creation or a failover of all gave up for it, and starts nothing where nothing did', async () => {
    const { id, amphoraId } = await serving();
    expect((await confirm(amphoraId)).flowId).toBe('');
    await world.loadBalancers.failoverLoadBalancer({ id, requestId: '' }, admin);
    const { flows } = await world.flows.listFlows(
      {
        pageSize: 1,
        pageToken: '',
        loadBalancerId: id,
        amphoraId: '',
        state: 'FLOW_STATE_UNSPECIFIED',
        openOnly: true,
      },
      admin,
    );
    await give(flows[0]?.id ?? '', 'FAILED');
    const { flowId } = await confirm(amphoraId);
    expect(await flow(flowId)).toMatchObject({ name: 'load_balancer.failover', state: 'FLOW_STATE_QUEUED' });
  });

  it('is refused for an amphora that is heard, that is deleted, and to those who are no administrators', async () => {
    const { amphoraId } = await serving();
    await world.db.reader.query(`INSERT INTO liveness_slot (amphora_id, shard, page, slot) VALUES ($1, 0, 7, 0)`, [
      amphoraId,
    ]);
    await world.db.reader.query(
      `INSERT INTO liveness_page (page, epoch, written_at, ages_ms, generations) VALUES (7, 1, clock_timestamp(), '{0}', '{1}')`,
    );
    expect(await failure(confirm(amphoraId))).toMatchObject({ kind: 'state', reason: 'AMPHORA_STILL_HEARD' });
    await world.db.reader.query(`UPDATE liveness_page SET written_at = now() - interval '1 hour'`);
    await confirm(amphoraId);
    await world.db.reader.query(`UPDATE amphora SET status = 'DELETED', deleted_at = now() WHERE id = $1`, [amphoraId]);
    expect(await failure(confirm(amphoraId))).toMatchObject({ kind: 'state', reason: 'AMPHORA_DELETED' });
    expect(await failure(confirm(randomUUID()))).toMatchObject({ reason: 'AMPHORA_NOT_FOUND' });
    expect(await failure(world.amphorae.confirmFence({ id: amphoraId, requestId: '' }, alice))).toMatchObject({
      reason: 'ROLE_REQUIRED',
    });
  });
});

describe('the configuration of an agent', () => {
  it('is given by a flow, one at a time', async () => {
    const { id, amphoraId } = await serving();
    const configure = (requestId = '') => world.amphorae.configureAmphora({ id: amphoraId, requestId }, admin);
    const first = await configure();
    expect(await flow(first.flowId)).toMatchObject({ name: 'amphora.configure', loadBalancerId: id, amphoraId });
    expect((await configure(randomUUID())).flowId).toBe(first.flowId);
    await world.db.reader.query(`UPDATE amphora SET status = 'BOOTING' WHERE id = $1`, [amphoraId]);
    await settle(world, id);
    expect(await failure(configure())).toMatchObject({ kind: 'state', reason: 'AMPHORA_NOT_CONFIGURABLE' });
  });
});

describe('orphans', () => {
  it('are what the worker finds, and are removed by one flow at a time', async () => {
    expect((await world.orphans.listOrphans({ olderThan: undefined }, admin)).orphans).toEqual([ORPHAN]);
    const olderThan = { seconds: 600n, nanos: 0 };
    expect((await world.orphans.listOrphans({ olderThan }, admin)).orphans).toEqual([]);
    const { flowId } = await world.orphans.cleanOrphans({ olderThan }, admin);
    expect(await flow(flowId)).toMatchObject({ name: 'orphans.sweep', input: '{"graceMs":600000}' });
    expect((await world.orphans.cleanOrphans({ olderThan }, admin)).flowId).toBe(flowId);
    expect((await world.orphans.cleanOrphans({ olderThan: undefined }, admin)).flowId).not.toBe(flowId);
    const negative = { seconds: -1n, nanos: 0 };
    expect(await failure(world.orphans.cleanOrphans({ olderThan: negative }, admin))).toMatchObject({
      fields: { older_than: 'DURATION_OUT_OF_RANGE' },
    });
    for (const call of [world.orphans.listOrphans, world.orphans.cleanOrphans]) {
      expect(await failure(call({ olderThan }, alice))).toMatchObject({ reason: 'ROLE_REQUIRED' });
    }
  });
});

describe('circuit breakers', () => {
  it('are those of the worker, what rests first, and those that rest are in the status', async () => {
    const endpoints = async (includeClosed: boolean) =>
      (await world.system.listBreakers({ includeClosed }, admin)).breakers.map(({ endpoint }) => endpoint);
    expect(await endpoints(false)).toEqual(['new', 'old']);
    expect(await endpoints(true)).toEqual(['new', 'old', 'well']);
    const status = await world.system.getSystemStatus({}, admin);
    expect([status.breakersOpen, status.breakers.map(({ endpoint }) => endpoint)]).toEqual([2, ['new', 'old']]);
    expect(await failure(world.system.listBreakers({ includeClosed: true }, alice))).toMatchObject({
      reason: 'ROLE_REQUIRED',
    });
  });
});
