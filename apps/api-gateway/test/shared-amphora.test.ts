import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { insertAmphora, insertSeat } from '@octavia/db/testing';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { loadBalancer } from './messages.ts';
import { admin, failure, queued, settle, startWorld, tenant, type World } from './world.ts';

let world: World;
let amphoraId: string;
/** Both are served by it. */
let one: string;
let two: string;
beforeAll(async () => {
  world = await startWorld();
});
afterAll(() => world.stop());
beforeEach(async () => {
  [one, two] = [await create(), await create()];
  amphoraId = await insertAmphora(world.db.reader, { loadBalancerId: one });
  await insertSeat(world.db.reader, amphoraId, two);
});

const alice = tenant();
async function create(): Promise<string> {
  const request = { loadBalancer: loadBalancer(), requestId: '' };
  const { id } = await world.loadBalancers.createLoadBalancer(request, alice);
  await settle(world, id);
  return id;
}
const sql = (statement: string, ...values: unknown[]) => world.db.reader.query(statement, values);
const shown = () => world.amphorae.getAmphora({ id: amphoraId }, admin);
const list = async (loadBalancerId: string) => {
  const request = { pageSize: 0, pageToken: '', loadBalancerId, status: 'AMPHORA_STATUS_UNSPECIFIED' as const };
  return (await world.amphorae.listAmphorae(request, admin)).amphorae;
};
const failover = (requestId = '') => world.amphorae.failoverAmphora({ id: amphoraId, requestId }, admin);
const flow = (id: string) => world.flows.getFlow({ id }, admin);
const newestEvent = async (loadBalancerId: string) => {
  const request = { loadBalancerId, after: '', before: '', newestFirst: true, pageSize: 1 };
  return (await world.events.listEvents(request, admin)).events[0];
};

describe('an amphora that serves several load balancers', () => {
  it('tells a seat for each, and as its own what is of the first', async () => {
    await sql(
      `UPDATE seat SET ha_ip = '127.84.16.9', applied_revision = 3, origin = 'COLOCATED', choice_reason = '2 of 2.',
         fault_reason = 'HAPROXY_GONE', fault_message = 'It is dead.', vrrp_port_id = amphora_id
       WHERE amphora_id = $1 AND load_balancer_id = $2`,
      amphoraId,
      two,
    );
    expect(await shown()).toMatchObject({
      loadBalancerId: one,
      role: 'AMPHORA_ROLE_STANDALONE',
      seatLimit: 2,
      origin: '',
    });
    expect((await shown()).seats).toMatchObject([
      { loadBalancerId: one, state: 'SEAT_STATE_TAKEN', haIp: '', appliedRevision: 0 },
      {
        loadBalancerId: two,
        state: 'SEAT_STATE_TAKEN',
        role: 'AMPHORA_ROLE_STANDALONE',
        haIp: '127.84.16.9',
        vrrpPortId: amphoraId,
        appliedRevision: 3,
        origin: 'COLOCATED',
        choiceReason: '2 of 2.',
        reason: 'HAPROXY_GONE',
        message: 'It is dead.',
      },
    ]);
    await sql(`UPDATE seat SET state = 'LEAVING' WHERE amphora_id = $1 AND load_balancer_id = $2`, amphoraId, one);
    expect(await shown()).toMatchObject({
      loadBalancerId: two,
      origin: 'COLOCATED',
      haIp: '127.84.16.9',
      seats: [{ loadBalancerId: two }, { loadBalancerId: one, state: 'SEAT_STATE_LEAVING' }],
    });
  });

  it('is listed for each of them until that has left, and a spare has no seat', async () => {
    expect((await list(one)).map(({ id }) => id)).toEqual([amphoraId]);
    expect((await list(two)).map(({ id, seats }) => [id, seats.length])).toEqual([[amphoraId, 2]]);
    await sql(`UPDATE seat SET state = 'LEFT' WHERE amphora_id = $1 AND load_balancer_id = $2`, amphoraId, two);
    expect(await list(two)).toEqual([]);
    expect((await list(one)).map(({ seats }) => seats.length)).toEqual([1]);
    const spare = await insertAmphora(world.db.reader, { status: 'READY' });
    expect(await world.amphorae.getAmphora({ id: spare }, admin)).toMatchObject({ seats: [], seatLimit: 0 });
  });
});

describe('the failover of an amphora that serves several load balancers', () => {
  it('starts a flow for each, once, with an event for each', async () => {
    const requestId = randomUUID();
    const answers = await Promise.all([failover(requestId), failover(), failover()]);
    const flowIds = answers[0]?.flowIds ?? [];
    for (const answer of answers) expect(answer).toMatchObject({ flowIds, flowId: flowIds[0] });
    const moved = (await Promise.all(flowIds.map(flow))).map(({ name, loadBalancerId }) => [name, loadBalancerId]);
    expect(moved).toEqual([
      ['amphora.failover', one],
      ['amphora.failover', two],
    ]);
    expect([await queued(world, one), await queued(world, two)]).toEqual([['amphora.failover'], ['amphora.failover']]);
    expect((await failover(requestId)).flowIds).toEqual(flowIds);
    expect(await shown()).toMatchObject({ reason: 'FAILOVER_REQUESTED' });
    for (const id of [one, two]) {
      expect(await newestEvent(id)).toMatchObject({ kind: 'amphora_failover_requested', objectId: amphoraId });
    }
  });

  it('leaves to its flow what is being moved already', async () => {
    await world.loadBalancers.failoverLoadBalancer({ id: one, requestId: '' }, admin);
    const { flowIds } = await failover();
    expect((await Promise.all(flowIds.map(flow))).map(({ name }) => name)).toEqual([
      'load_balancer.failover',
      'amphora.failover',
    ]);
  });

  it('is answered again with the flows that it had, and not with those of an earlier one', async () => {
    const early = await failover();
    await Promise.all([settle(world, one), settle(world, two)]);
    await sql(`UPDATE flow SET finished_at = now() - interval '1 h' WHERE amphora_id = $1`, amphoraId);
    await sql(`UPDATE seat SET state = 'LEFT' WHERE amphora_id = $1 AND load_balancer_id = $2`, amphoraId, one);
    const requestId = randomUUID();
    const late = await failover(requestId);
    expect([early.flowIds.length, late.flowIds.length]).toEqual([2, 1]);
    await settle(world, two);
    expect((await failover(requestId)).flowIds).toEqual(late.flowIds);
  });

  it('moves none while one cannot be moved, because that would lose it', async () => {
    await sql(`UPDATE load_balancer SET provisioning_status = 'PENDING_CREATE' WHERE id = $1`, two);
    expect(await failure(failover())).toMatchObject({
      reason: 'LOAD_BALANCER_BEING_CREATED',
      details: { id: amphoraId, loadBalancerId: two },
    });
    await settle(world, two);
    const other = await insertAmphora(world.db.reader, { loadBalancerId: two });
    await world.amphorae.failoverAmphora({ id: other, requestId: '' }, admin);
    expect(await failure(failover())).toMatchObject({ reason: 'FAILOVER_UNDER_WAY' });
    expect([await queued(world, one), (await shown()).reason]).toEqual([[], '']);
  });

  it('moves the others of one that is being deleted, and fails when all are', async () => {
    const remove = (id: string) =>
      world.loadBalancers.deleteLoadBalancer({ id, cascade: true, etag: '', requestId: '' }, alice);
    await remove(one);
    const { flowIds } = await failover();
    expect((await Promise.all(flowIds.map(flow))).map(({ loadBalancerId }) => loadBalancerId)).toEqual([two]);
    await settle(world, two);
    await remove(two);
    expect(await failure(failover())).toMatchObject({ reason: 'LOAD_BALANCER_BEING_DELETED' });
  });

  it('moves one, too, that gets its seat at this very moment', async () => {
    const three = await create();
    let answer: ReturnType<typeof failover> | undefined;
    await world.db.transaction(async (tx) => {
      await tx.query('SELECT 1 FROM amphora WHERE id = $1 FOR UPDATE', [amphoraId]);
      await insertSeat(tx, amphoraId, three);
      answer = failover();
      for (let waits = false; !waits; await sleep(5)) {
        const [row] = await sql(
          `SELECT count(*)::integer AS waiting FROM pg_stat_activity
           WHERE datname = current_database() AND wait_event_type = 'Lock'`,
        );
        waits = row.waiting > 0;
      }
    });
    const moved = (await Promise.all((await answer)?.flowIds.map(flow) ?? [])).map((made) => made.loadBalancerId);
    expect(moved.sort()).toEqual([one, two, three].sort());
  });
});

describe('a confirmation that an amphora of several load balancers is isolated', () => {
  const FENCE = JSON.stringify({ reason: 'FENCE_NOT_CONFIRMED', message: 'It may still hold the VIP.' });

  it('wakes what waits, starts again what gave up, and is an event of each', async () => {
    const { flowIds } = await failover();
    const three = await create();
    await insertSeat(world.db.reader, amphoraId, three);
    await sql(
      `UPDATE flow SET last_error = $2, attempt = 2, run_at = now() + interval '1 h',
         state = CASE WHEN load_balancer_id = $3 THEN 'FAILED' ELSE state END,
         finished_at = CASE WHEN load_balancer_id = $3 THEN now() END
       WHERE amphora_id = $1`,
      amphoraId,
      FENCE,
      two,
    );
    const answer = await world.amphorae.confirmFence({ id: amphoraId, requestId: '' }, admin);
    expect(answer.flowIds).toEqual([flowIds[0], expect.not.stringMatching(flowIds[1] ?? '')]);
    expect(answer.flowId).toBe(flowIds[0]);
    expect((await flow(flowIds[0] ?? '')).nextTryAt?.getTime()).toBeLessThan(Date.now() + 1_000);
    expect(await flow(answer.flowIds[1] ?? '')).toMatchObject({ name: 'amphora.failover', loadBalancerId: two });
    expect(await queued(world, three)).toEqual([]);
    for (const id of [one, two, three]) expect((await newestEvent(id))?.kind).toBe('amphora_fence_confirmed');
  });
});
