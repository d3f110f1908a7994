import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { ListenerStatistics } from '@octavia/db';
import { insertAmphora } from '@octavia/db/testing';
import { CreateListenerRequest, Listener, ListenerServiceService } from '@octavia/proto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createAll, loadBalancer } from './messages.ts';
import { admin, failure, queued, settle, startWorld, tenant, type World } from './world.ts';

let world: World;
beforeAll(async () => {
  world = await startWorld();
});
afterAll(() => world.stop());

const alice = tenant();
const noFilter = { pageSize: 0, pageToken: '', loadBalancerId: '', amphoraId: '', openOnly: false } as const;
const anyState = { ...noFilter, state: 'FLOW_STATE_UNSPECIFIED' } as const;
const create = (as = alice) =>
  world.loadBalancers.createLoadBalancer({ loadBalancer: loadBalancer(), requestId: '' }, as);
const flowOf = async (loadBalancerId: string) => {
  const { flows } = await world.flows.listFlows({ ...anyState, loadBalancerId }, admin);
  if (!flows[0]) throw new Error('There is no flow.');
  return flows[0];
};

/** The first of a stream that fits; fails after 10 s. */
async function first<T>(stream: AsyncIterable<T>, fits: (item: T) => boolean = () => true): Promise<T> {
  const late = sleep(10_000, undefined, { ref: false }).then(() => Promise.reject(new Error('Nothing came in 10 s.')));
  const find = async () => {
    for await (const item of stream) if (fits(item)) return item;
    throw new Error('The stream ended without it.');
  };
  return Promise.race([find(), late]);
}

describe('flows', () => {
  it('are shown with what they work on, who asked and why they wait, newest first and page by page', async () => {
    const { lb } = await createAll(world, alice);
    const flow = await flowOf(lb.id);
    expect(flow).toMatchObject({
      name: 'load_balancer.create',
      state: 'FLOW_STATE_QUEUED',
      loadBalancerId: lb.id,
      projectId: alice.caller.projectId,
      author: 'alice',
      input: '{}',
      waitingFor: 'its turn',
      steps: [],
    });
    await world.db.reader.query(
      `INSERT INTO flow_step (flow_id, position, name, state, output, attempts, last_error)
       VALUES ($1, 0, 'reserve_vip', 'STARTED', '{"hidden": "output"}', 2, '{"reason": "AWAY", "message": "It is away."}')`,
      [flow.id],
    );
    const got = await world.flows.getFlow({ id: flow.id }, admin);
    expect(got.steps).toMatchObject([
      { name: 'reserve_vip', state: 'FLOW_STEP_STATE_STARTED', attempts: 2, lastError: { reason: 'AWAY' } },
    ]);
    expect(JSON.stringify(got)).not.toContain('hidden');
    await create();
    const page = { ...anyState, pageSize: 1, openOnly: true };
    const one = await world.flows.listFlows(page, admin);
    const two = await world.flows.listFlows({ ...page, pageToken: one.nextPageToken }, admin);
    expect(one.flows[0]?.id.localeCompare(two.flows[0]?.id ?? '')).toBe(1);
    const failed = { ...noFilter, state: 'FLOW_STATE_FAILED', loadBalancerId: lb.id } as const;
    expect((await world.flows.listFlows(failed, admin)).flows).toEqual([]);
  });

  it('are for administrators only', async () => {
    const id = randomUUID();
    const refused = [
      world.flows.getFlow({ id }, alice),
      world.flows.listFlows(anyState, alice),
      world.flows.cancelFlow({ id }, alice),
      world.flows.retryFlow({ id }, alice),
      world.amphorae.failoverAmphora({ id, requestId: '' }, alice),
      world.amphorae.getAmphoraStatistics({ id }, alice),
      world.system.setLogLevel({ service: 'worker', level: 'debug', revertAfter: undefined }, alice),
      first(world.flows.watchFlows({ id: '', loadBalancerId: '', amphoraId: '' }, alice)),
    ];
    const reasons = await Promise.all(refused.map(async (call) => (await failure(call)).reason));
    expect(reasons).toEqual(refused.map(() => 'ROLE_REQUIRED'));
    expect(await failure(world.flows.getFlow({ id }, admin))).toMatchObject({ reason: 'FLOW_NOT_FOUND' });
  });

  it('can be asked to stop, until they have ended, and the load balancer remembers who did', async () => {
    const lb = await create();
    const { id } = await flowOf(lb.id);
    expect(await world.flows.cancelFlow({ id }, admin)).toMatchObject({ stopRequested: 'CANCELLED' });
    const { events } = await world.events.listEvents(
      { loadBalancerId: lb.id, after: '', before: '', newestFirst: true, pageSize: 1 },
      admin,
    );
    expect(events).toMatchObject([
      {
        kind: 'flow_cancel_requested',
        author: 'root',
        message: 'root asked the flow load_balancer.create to stop and undo.',
      },
    ]);
    await settle(world, lb.id);
    expect(await failure(world.flows.cancelFlow({ id }, admin))).toMatchObject({ kind: 'state', reason: 'FLOW_ENDED' });
    expect(await failure(world.flows.retryFlow({ id }, admin))).toMatchObject({ kind: 'state', reason: 'FLOW_ENDED' });
  });

  it('are tried again at once when they wait', async () => {
    const lb = await create();
    const { id } = await flowOf(lb.id);
    await world.db.reader.query(`UPDATE flow SET run_at = now() + interval '1 hour', attempt = 3 WHERE id = $1`, [id]);
    const { nextTryAt } = await world.flows.retryFlow({ id }, admin);
    expect(nextTryAt?.getTime()).toBeLessThanOrEqual(Date.now() + 1_000);
    await world.flows.retryFlow({ id }, admin);
    await world.db.reader.query(
      `UPDATE flow SET state = 'RUNNING', lease_owner = 'w1', lease_expires_at = now() + interval '1 hour' WHERE id = $1`,
      [id],
    );
    expect(await failure(world.flows.retryFlow({ id }, admin))).toMatchObject({ reason: 'FLOW_RUNNING' });
  });

  it('are watched: one until it has ended, or all of a load balancer', async () => {
    const lb = await create();
    const { id } = await flowOf(lb.id);
    const seen: string[] = [];
    for await (const flow of world.flows.watchFlows({ id, loadBalancerId: '', amphoraId: '' }, admin)) {
      seen.push(flow.state);
      if (seen.length === 1) await settle(world, lb.id);
    }
    expect(seen).toEqual(['FLOW_STATE_QUEUED', 'FLOW_STATE_SUCCEEDED']);
    const all = world.flows.watchFlows({ id: '', loadBalancerId: lb.id, amphoraId: '' }, admin);
    const next = first(all, ({ name }) => name === 'load_balancer.failover');
    await world.loadBalancers.failoverLoadBalancer({ id: lb.id, requestId: '' }, admin);
    expect(await next).toMatchObject({ state: 'FLOW_STATE_QUEUED', loadBalancerId: lb.id });
  });
});

describe('events', () => {
  const list = (fields: object, as: typeof admin | typeof alice = admin) =>
    world.events.listEvents(
      { loadBalancerId: '', after: '', before: '', newestFirst: false, pageSize: 0, ...fields },
      as,
    );

  it('say what happened and why, for a person and for a program', async () => {
    const { lb, front } = await createAll(world, alice);
    const { events } = await list({ loadBalancerId: lb.id }, alice);
    expect(events[0]).toMatchObject({
      number: 1n,
      kind: 'changed',
      message: `alice asked for load balancer ${lb.id} (revision 1).`,
      objectId: lb.id,
      payload: { action: 'CREATE', revision: 1 },
      author: 'alice',
      projectId: alice.caller.projectId,
    });
    expect(events[1]).toMatchObject({ number: 2n, objectKind: 'listener', objectId: front.id });
    expect((await list({ loadBalancerId: lb.id }, tenant())).events).toEqual([]);
  });

  it('come as they happen, and go on where a list has ended', async () => {
    const lb = await create();
    const { endCursor } = await list({ loadBalancerId: lb.id });
    const live = first(world.events.watchEvents({ loadBalancerId: lb.id, after: '' }, alice));
    const resumed = first(world.events.watchEvents({ loadBalancerId: lb.id, after: endCursor }, alice));
    // The live watch begins with what happens after it: give it the time to begin.
    await sleep(300);
    await world.loadBalancers.deleteLoadBalancer({ id: lb.id, cascade: false, etag: '', requestId: '' }, alice);
    const message = `alice asked to delete load balancer ${lb.id} (revision 2).`;
    expect(await resumed).toMatchObject({ number: 2n, message });
    expect(await live).toMatchObject({ number: 2n, message });
  });

  it('refuse a cursor from before the retention with OUT_OF_RANGE', async () => {
    await create();
    const { endCursor } = await list({});
    await world.db.reader.query(`UPDATE event_horizon SET xact = pg_current_xact_id(), id = 1`);
    const error = await list({ after: endCursor }).catch((thrown) => thrown);
    expect(error).toMatchObject({ code: 11, reason: 'CURSOR_TOO_OLD' });
    const watching = first(world.events.watchEvents({ loadBalancerId: '', after: endCursor }, admin));
    expect(await failure(watching)).toMatchObject({ reason: 'CURSOR_TOO_OLD' });
    await world.db.reader.query(`UPDATE event_horizon SET xact = '0', id = 0`);
  });
});

describe('the failover of an amphora', () => {
  const failover = (id: string, requestId = '') => world.amphorae.failoverAmphora({ id, requestId }, admin);

  it('starts once, with the mark and an event, and a repetition gets the same flow', async () => {
    const lb = await create();
    await settle(world, lb.id);
    const id = await insertAmphora(world.db.reader, { loadBalancerId: lb.id });
    const requestId = randomUUID();
    const answers = await Promise.all([failover(id, requestId), failover(id), failover(id)]);
    expect(new Set(answers.map(({ flowId }) => flowId)).size).toBe(1);
    expect((await failover(id, requestId)).flowId).toBe(answers[0]?.flowId);
    expect(answers[0]?.amphora).toMatchObject({ id, reason: 'FAILOVER_REQUESTED' });
    expect(await queued(world, lb.id)).toEqual(['amphora.failover']);
    const { events } = await world.events.listEvents(
      { loadBalancerId: lb.id, after: '', before: '', newestFirst: true, pageSize: 1 },
      admin,
    );
    expect(events[0]).toMatchObject({ kind: 'amphora_failover_requested', objectId: id, author: 'root' });
    const seenByTenant = await world.events.listEvents(
      { loadBalancerId: lb.id, after: '', before: '', newestFirst: true, pageSize: 1 },
      alice,
    );
    expect(seenByTenant.events[0]?.objectKind).toBe('load_balancer');
  });

  it('deletes a spare', async () => {
    const id = await insertAmphora(world.db.reader, { status: 'READY' });
    const { flowId, amphora } = await failover(id);
    expect(amphora?.status).toBe('AMPHORA_STATUS_PENDING_DELETE');
    expect(await world.flows.getFlow({ id: flowId }, admin)).toMatchObject({ name: 'amphora.delete', amphoraId: id });
  });

  it('says why it cannot be', async () => {
    const building = await create();
    const young = await insertAmphora(world.db.reader, { loadBalancerId: building.id });
    expect(await failure(failover(young))).toMatchObject({ reason: 'LOAD_BALANCER_BEING_CREATED' });
    const gone = await insertAmphora(world.db.reader, { status: 'DELETED' });
    expect(await failure(failover(gone))).toMatchObject({ kind: 'state', reason: 'AMPHORA_NOT_REPLACEABLE' });
    expect(await failure(failover(randomUUID()))).toMatchObject({ reason: 'AMPHORA_NOT_FOUND' });
  });
});

describe('statistics', () => {
  it('add up what amphorae counted, those that were replaced too; only one that serves has connections', async () => {
    const { lb, front } = await createAll(world, alice);
    const old = await insertAmphora(world.db.reader, { loadBalancerId: lb.id });
    const current = await insertAmphora(world.db.reader, { loadBalancerId: lb.id });
    const counted = (amphoraId: string) => ({
      amphoraId,
      listenerId: front.id,
      isAbsolute: false,
      bytesIn: 10n,
      bytesOut: 2n ** 62n,
      totalConnections: 3n,
      requestErrors: 1n,
      activeConnections: 2n,
    });
    const batch = { senderId: randomUUID(), owner: 'h:1', number: 1n };
    await new ListenerStatistics().add(world.db.reader, batch, [counted(old), counted(current)]);
    await world.db.reader.query(`UPDATE amphora SET status = 'PENDING_DELETE' WHERE id = $1`, [old]);
    const sums = { bytesIn: 20n, bytesOut: 2n ** 63n, totalConnections: 6n, requestErrors: 2n, activeConnections: 2n };
    expect(await world.loadBalancers.getLoadBalancerStatistics({ id: lb.id }, alice)).toMatchObject(sums);
    expect(await world.listeners.getListenerStatistics({ id: front.id }, alice)).toMatchObject(sums);
    const { listeners } = await world.amphorae.getAmphoraStatistics({ id: current }, admin);
    expect(listeners).toMatchObject([{ listenerId: front.id, statistics: { bytesIn: 10n, totalConnections: 3n } }]);
    const other = world.loadBalancers.getLoadBalancerStatistics({ id: lb.id }, tenant());
    expect(await failure(other)).toMatchObject({ reason: 'LOAD_BALANCER_NOT_FOUND' });
  });

  it('are zero before anything was counted', async () => {
    const lb = await create();
    const found = await world.loadBalancers.getLoadBalancerStatistics({ id: lb.id }, alice);
    expect(found).toMatchObject({ bytesIn: 0n, totalConnections: 0n, updatedAt: undefined });
  });
});

describe('the state of the system', () => {
  it('tells certificates, what failed last, the age of the queue, and who is silent', async () => {
    const lb = await create();
    const { id } = await flowOf(lb.id);
    await world.db.reader.query(
      `UPDATE flow SET state = 'FAILED', finished_at = now(), last_error = '{"reason": "NO_CAPACITY", "message": "Full."}' WHERE id = $1`,
      [id],
    );
    const waiting = await flowOf((await create()).id);
    await world.db.reader.query(`UPDATE flow SET run_at = now() - interval '100 s' WHERE id = $1`, [waiting.id]);
    const amphoraId = await insertAmphora(world.db.reader, { status: 'READY' });
    await world.db.reader.query(`UPDATE amphora SET cert_expires_at = now() + interval '36 h' WHERE id = $1`, [
      amphoraId,
    ]);
    const status = await world.system.getSystemStatus({}, admin);
    expect(status.lastFailures[0]).toMatchObject({ flowId: id, loadBalancerId: lb.id, reason: 'NO_CAPACITY' });
    expect(status.oldestQueuedSeconds).toBeGreaterThanOrEqual(100);
    expect(status.heartbeats?.never).toBeGreaterThan(0);
    const holders = status.certificates.map(({ holder, subject, daysLeft }) => ({ holder, subject, daysLeft }));
    expect(holders).toContainEqual({ holder: `amphora ${amphoraId}`, subject: '', daysLeft: 1 });
    expect(holders).toContainEqual(expect.objectContaining({ holder: 'worker', subject: 'CN=worker' }));
    expect(holders.filter(({ holder }) => holder === 'authority')).toHaveLength(1);
    const times = status.certificates.map(({ expiresAt }) => Number(expiresAt));
    expect(times).toEqual([...times].sort((a, b) => a - b));
  });

  it('turns the log of a service up, of this one and of another', async () => {
    const set = (service: string, level: string) =>
      world.system.setLogLevel({ service, level, revertAfter: { seconds: 60n, nanos: 0 } }, admin);
    expect(await set('worker', 'debug')).toMatchObject({ level: 'debug', revertsAt: expect.any(Date) });
    expect(await set('api-gateway', '')).toMatchObject({ level: 'info' });
    expect(await failure(set('worker', 'loud'))).toMatchObject({ fields: { level: 'INVALID_LOG_LEVEL' } });
    expect(await failure(set('nobody', 'info'))).toMatchObject({ fields: { service: 'UNKNOWN_SERVICE' } });
    expect(await failure(set('housekeeping', 'info'))).toMatchObject({ kind: 'unavailable' });
  });
});

it('an enum number of a later contract is the caller’s fault, and named', async () => {
  const { createListener } = ListenerServiceService;
  const good = CreateListenerRequest.encode({
    listener: Listener.fromPartial({ protocol: 'PROTOCOL_PROMETHEUS' }),
    requestId: '',
  }).finish();
  const bad = Buffer.from(good);
  bad[bad.lastIndexOf(9)] = 99;
  const client = world.raw({ call: { ...createListener, requestSerialize: () => bad } });
  const error = await failure(client.call({ listener: undefined, requestId: '' }, alice));
  expect(error).toMatchObject({ kind: 'invalid', fields: { request: 'UNKNOWN_ENUM_VALUE' } });
  client.close();
});
