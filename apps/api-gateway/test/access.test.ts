import { randomUUID } from 'node:crypto';
import { Amphorae } from '@octavia/db';
import { VERSION } from '@octavia/service';
import { v7 as uuidv7 } from 'uuid';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createAll, listener, loadBalancer, member, pool } from './messages.ts';
import { admin, failure, startWorld, tenant, type World } from './world.ts';

let world: World;
beforeAll(async () => {
  world = await startWorld({ quotas: { listener: 2 } });
});
afterAll(() => world.stop());

const page = { projectId: '', pageSize: 0, pageToken: '', name: '' };
const requestId = '';
const nothing = { etag: '', requestId };

describe('a tenant', () => {
  it('finds nothing of another project, whatever it tries', async () => {
    const { lb, front, back, server, monitor } = await createAll(world, tenant());
    const other = tenant();
    const { loadBalancers, listeners, pools, members, healthMonitors } = world;
    const calls = {
      LOAD_BALANCER_NOT_FOUND: [
        loadBalancers.getLoadBalancer({ id: lb.id }, other),
        loadBalancers.getLoadBalancerStatusTree({ id: lb.id }, other),
        loadBalancers.updateLoadBalancer({ loadBalancer: loadBalancer({ id: lb.id }), requestId }, other),
        loadBalancers.deleteLoadBalancer({ ...nothing, id: lb.id, cascade: true }, other),
        listeners.createListener({ listener: listener(lb.id), requestId }, other),
        pools.createPool({ pool: pool(lb.id), listenerId: '', requestId }, other),
      ],
      LISTENER_NOT_FOUND: [
        listeners.getListener({ id: front.id }, other),
        listeners.updateListener({ listener: listener('', { id: front.id }), requestId }, other),
        listeners.deleteListener({ ...nothing, id: front.id }, other),
        pools.createPool({ pool: pool(''), listenerId: front.id, requestId }, other),
      ],
      POOL_NOT_FOUND: [
        pools.getPool({ id: back.id }, other),
        pools.updatePool({ pool: pool('', { id: back.id }), requestId }, other),
        pools.deletePool({ ...nothing, id: back.id }, other),
        members.createMember({ member: member(back.id), requestId }, other),
      ],
      MEMBER_NOT_FOUND: [
        members.getMember({ id: server.id }, other),
        members.deleteMember({ ...nothing, id: server.id }, other),
      ],
      HEALTH_MONITOR_NOT_FOUND: [
        healthMonitors.getHealthMonitor({ id: monitor.id }, other),
        healthMonitors.deleteHealthMonitor({ ...nothing, id: monitor.id }, other),
      ],
    };
    const failures = Object.entries(calls).flatMap(([reason, list]) =>
      list.map(async (call) => expect(await failure(call)).toMatchObject({ kind: 'missing', reason })),
    );
    await Promise.all(failures);
    const lists = await Promise.all([
      loadBalancers.listLoadBalancers(page, other).then((reply) => reply.loadBalancers),
      listeners.listListeners({ ...page, loadBalancerId: lb.id }, other).then((reply) => reply.listeners),
      pools.listPools({ ...page, loadBalancerId: lb.id }, other).then((reply) => reply.pools),
      members.listMembers({ ...page, poolId: back.id }, other).then((reply) => reply.members),
      healthMonitors.listHealthMonitors({ ...page, poolId: back.id }, other).then((reply) => reply.healthMonitors),
    ]);
    expect(lists).toEqual([[], [], [], [], []]);
    const spy = { ...page, projectId: String(lb.projectId) };
    expect(await failure(loadBalancers.listLoadBalancers(spy, other))).toMatchObject({ reason: 'ROLE_REQUIRED' });
  });

  it('may only read with the role of an observer, and nothing with none', async () => {
    const project = randomUUID();
    const { lb } = await createAll(world, tenant(project));
    const observer = tenant(project, ['load-balancer_observer']);
    const stranger = tenant(project, ['creator']);
    expect((await world.loadBalancers.getLoadBalancer({ id: lb.id }, observer)).id).toBe(lb.id);
    const forbidden = [
      world.loadBalancers.createLoadBalancer({ loadBalancer: loadBalancer(), requestId }, observer),
      world.loadBalancers.deleteLoadBalancer({ ...nothing, id: lb.id, cascade: true }, observer),
      world.loadBalancers.getLoadBalancer({ id: lb.id }, stranger),
      world.loadBalancers.listLoadBalancers(page, stranger),
      world.system.getCapabilities({}, stranger),
    ];
    for (const failed of await Promise.all(forbidden.map(failure))) {
      expect(failed).toMatchObject({ kind: 'forbidden', reason: 'ROLE_REQUIRED' });
    }
  });

  it('sees all projects only as administrator or global observer', async () => {
    const { lb } = await createAll(world, tenant());
    const observer = tenant(randomUUID(), ['load-balancer_global_observer']);
    for (const caller of [admin, observer]) {
      expect((await world.loadBalancers.getLoadBalancer({ id: lb.id }, caller)).id).toBe(lb.id);
      const filtered = { ...page, projectId: lb.projectId };
      const { loadBalancers } = await world.loadBalancers.listLoadBalancers(filtered, caller);
      expect(loadBalancers.map(({ id }) => id)).toEqual([lb.id]);
    }
    const all = await world.loadBalancers.listLoadBalancers({ ...page, pageSize: 1000 }, admin);
    expect(new Set(all.loadBalancers.map(({ projectId }) => projectId)).size).toBeGreaterThan(1);
    const change = { loadBalancer: loadBalancer({ id: lb.id, name: 'x' }), requestId };
    expect(await failure(world.loadBalancers.updateLoadBalancer(change, observer))).toMatchObject({
      kind: 'forbidden',
    });
  });
});

describe('a quota', () => {
  it('holds, however many ask at once, and tells its limit', async () => {
    const alice = tenant();
    const lb = await world.loadBalancers.createLoadBalancer({ loadBalancer: loadBalancer(), requestId }, alice);
    const create = (protocolPort: number) =>
      world.listeners.createListener({ listener: listener(lb.id, { protocolPort }), requestId }, alice);
    const tries = await Promise.allSettled([80, 81, 82, 83].map(create));
    expect(tries.filter(({ status }) => status === 'fulfilled')).toHaveLength(2);
    expect(await failure(create(84))).toMatchObject({
      kind: 'quota',
      reason: 'QUOTA_EXCEEDED',
      details: { projectId: alice.caller.projectId, resource: 'listener', limit: '2' },
    });
    const got = await world.loadBalancers.getLoadBalancer({ id: lb.id }, alice);
    expect(got.revision).toBe(3);
  });
});

describe('a list', () => {
  it('comes in pages, by name and by parent', async () => {
    const alice = tenant();
    for (const name of ['a', 'b', 'a', 'a']) {
      await world.loadBalancers.createLoadBalancer({ loadBalancer: loadBalancer({ name }), requestId }, alice);
    }
    const list = (fields: object) => world.loadBalancers.listLoadBalancers({ ...page, ...fields }, alice);
    const first = await list({ name: 'a', pageSize: 2 });
    const second = await list({ name: 'a', pageSize: 2, pageToken: first.nextPageToken });
    expect([first.loadBalancers.length, second.loadBalancers.length, second.nextPageToken]).toEqual([2, 1, '']);
    expect(first.loadBalancers[0]?.statusDetail?.flow).toBe('load_balancer.create');
    expect(await failure(list({ name: 'b', pageSize: 2, pageToken: first.nextPageToken }))).toMatchObject({
      fields: { page_token: 'INVALID_PAGE_TOKEN' },
    });
    expect((await failure(list({ pageSize: -1, name: 'x\u0000' }))).fields).toEqual({
      page_size: 'OUT_OF_RANGE',
      name: 'INVALID_CHARACTER',
    });
    expect((await list({ pageSize: 5000 })).loadBalancers).toHaveLength(4);
    const { back } = await createAll(world, alice);
    const members = await world.members.listMembers({ ...page, poolId: back.id }, alice);
    expect(members.members).toHaveLength(1);
    expect((await failure(world.members.listMembers({ ...page, poolId: 'x' }, alice))).fields).toEqual({
      pool_id: 'INVALID_UUID',
    });
    expect((await failure(world.members.getMember({ id: "' OR 1=1" }, alice))).fields).toEqual({ id: 'INVALID_UUID' });
  });
});

describe('the amphorae', () => {
  it('are for administrators, with their last heartbeat', async () => {
    const amphorae = new Amphorae();
    const ids = [uuidv7(), uuidv7(), uuidv7()];
    for (const id of ids) {
      await amphorae.insert(world.db.reader, {
        id,
        projectId: 'p',
        author: 'u',
        requestId: 'r',
        class: { computeFlavor: '', imageTag: '', zone: '', topology: 'SINGLE' },
        computeDriver: 'noop',
      });
    }
    await world.db.reader.query(
      `INSERT INTO liveness_slot (amphora_id, shard, page, slot, generation) VALUES ($1, 0, 0, 1, 1), ($2, 0, 0, 2, 1)`,
      [ids[0], ids[1]],
    );
    await world.db.reader.query(
      `INSERT INTO liveness_page (page, epoch, written_at, ages_ms, generations)
       VALUES (0, 1, '2026-01-01T00:00:10Z', '{-1,4000,100}', '{1,1,2}')`,
    );
    const request = { pageSize: 2, pageToken: '', loadBalancerId: '', status: 'AMPHORA_STATUS_UNSPECIFIED' } as const;
    const first = await world.amphorae.listAmphorae(request, admin);
    expect(first.amphorae.map(({ id }) => id)).toEqual(ids.slice(0, 2));
    expect(first.amphorae[0]).toMatchObject({ status: 'AMPHORA_STATUS_BOOTING', role: 'AMPHORA_ROLE_UNSPECIFIED' });
    // The second's slot was given again, so what is written there is not of it.
    expect(first.amphorae.map(({ lastHeartbeatAt }) => lastHeartbeatAt?.toISOString())).toEqual([
      '2026-01-01T00:00:06.000Z',
      undefined,
    ]);
    const second = await world.amphorae.listAmphorae({ ...request, pageToken: first.nextPageToken }, admin);
    expect(second.amphorae.map(({ id }) => id)).toEqual(ids.slice(2));
    expect(second.nextPageToken).toBe('');
    const booting = { ...request, status: 'AMPHORA_STATUS_READY' } as const;
    expect((await world.amphorae.listAmphorae(booting, admin)).amphorae).toEqual([]);
    const id = String(ids[0]);
    expect((await world.amphorae.getAmphora({ id }, admin)).lastHeartbeatAt).toBeDefined();
    expect(await failure(world.amphorae.getAmphora({ id: randomUUID() }, admin))).toMatchObject({
      reason: 'AMPHORA_NOT_FOUND',
    });
    expect(await failure(world.amphorae.getAmphora({ id }, tenant()))).toMatchObject({ reason: 'ROLE_REQUIRED' });
    expect(await failure(world.amphorae.listAmphorae(request, tenant()))).toMatchObject({ reason: 'ROLE_REQUIRED' });
  });
});

describe('the system', () => {
  it('tells what it can do', async () => {
    const capabilities = await world.system.getCapabilities({}, tenant());
    expect(capabilities.listenerProtocols).toContain('PROTOCOL_HTTP');
    expect(capabilities.lbAlgorithms).not.toContain('LB_ALGORITHM_SOURCE_IP_PORT');
    expect(capabilities.sessionPersistenceTypes).toContain('TYPE_APP_COOKIE');
    expect(capabilities.healthMonitorTypes).toContain('HEALTH_MONITOR_TYPE_TLS_HELLO');
    expect(capabilities.poolProtocols).toContain('PROTOCOL_PROXYV2');
  });

  it('tells an administrator how it is, also what is down', async () => {
    const status = await world.system.getSystemStatus({}, admin);
    expect(status).toMatchObject({
      version: VERSION,
      ready: false,
      services: [
        { name: 'api-gateway', address: '127.0.0.1:9876', state: 'SERVING', version: VERSION },
        { name: 'worker', state: 'SERVING', version: VERSION, logLevel: { level: 'info' } },
        { name: 'housekeeping', state: 'UNREACHABLE', version: '' },
      ],
      drivers: { compute: 'noop' },
      mode: 'loopback',
      sparesWanted: 2,
    });
    expect(status.database).toMatch(/^PostgreSQL \d+\.\d+$/);
    expect(status.schema).toMatch(/^\w+\d+$/);
    expect(status.loadBalancers).toBeGreaterThan(0);
    expect(status.flowsQueued).toBeGreaterThan(0);
    expect(await failure(world.system.getSystemStatus({}, tenant()))).toMatchObject({ reason: 'ROLE_REQUIRED' });
  });
});

describe('an installation without a subnet', () => {
  it('asks for one', async () => {
    const bare = await startWorld({ hasSubnet: false });
    const create = bare.loadBalancers.createLoadBalancer({ loadBalancer: loadBalancer(), requestId }, tenant());
    expect((await failure(create)).fields).toEqual({ 'load_balancer.vip_subnet_id': 'REQUIRED' });
    await bare.stop();
  });
});
