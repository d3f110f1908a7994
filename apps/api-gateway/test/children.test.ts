import { randomUUID } from 'node:crypto';
import { Deployments } from '@octavia/db';
import type { HealthMonitor, Listener, Member, Pool } from '@octavia/proto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createAll, healthMonitor, listener, loadBalancer, member, pool } from './messages.ts';
import { failure, queued, settle, startWorld, tenant, type World } from './world.ts';

let world: World;
let lbId: string;
let poolId: string;
const alice = tenant();
const requestId = '';
const nothing = { cascade: false, etag: '', requestId };

beforeAll(async () => {
  world = await startWorld();
});
afterAll(() => world.stop());
beforeEach(async () => {
  const created = await world.loadBalancers.createLoadBalancer({ loadBalancer: loadBalancer(), requestId }, alice);
  lbId = created.id;
  const back = await world.pools.createPool({ pool: pool(lbId), listenerId: '', requestId }, alice);
  poolId = back.id;
  await settle(world, lbId);
});

const newListener = (fields: Partial<Listener> = {}, id = requestId) =>
  world.listeners.createListener({ listener: listener(lbId, fields), requestId: id }, alice);
const newPool = (fields: Partial<Pool> = {}, listenerId = '') =>
  world.pools.createPool({ pool: pool(lbId, fields), listenerId, requestId }, alice);
const newMember = (fields: Partial<Member> = {}) =>
  world.members.createMember({ member: member(poolId, fields), requestId }, alice);
const newMonitor = (fields: Partial<HealthMonitor> = {}) =>
  world.healthMonitors.createHealthMonitor({ healthMonitor: healthMonitor(poolId, fields), requestId }, alice);
const setListener = (fields: Partial<Listener>, updateMask?: string[]) =>
  world.listeners.updateListener(
    { listener: { ...listener('', {}), ...EMPTY_LISTENER, ...fields }, updateMask, requestId },
    alice,
  );
const EMPTY_LISTENER = { protocol: 'PROTOCOL_UNSPECIFIED', protocolPort: 0, loadBalancerId: '' } as const;

describe('a listener', () => {
  it('is created with defaults, and makes its load balancer pending with one push', async () => {
    const created = await newListener({ defaultPoolId: poolId, insertHeaders: { 'X-Forwarded-For': 'true' } });
    expect(created).toMatchObject({
      loadBalancerId: lbId,
      projectId: alice.caller.projectId,
      connectionLimit: -1,
      defaultPoolId: poolId,
      insertHeaders: { 'X-Forwarded-For': 'true' },
      timeoutClientData: 50_000,
      timeoutMemberConnect: 5_000,
      timeoutMemberData: 50_000,
      timeoutTcpInspect: 0,
      adminStateUp: true,
      provisioningStatus: 'PROVISIONING_STATUS_PENDING_CREATE',
      statusDetail: { flow: 'load_balancer.update' },
    });
    await newListener({ protocolPort: 81 });
    expect(await queued(world, lbId)).toEqual(['load_balancer.update']);
    const lb = await world.loadBalancers.getLoadBalancer({ id: lbId }, alice);
    expect(lb.provisioningStatus).toBe('PROVISIONING_STATUS_PENDING_UPDATE');
    expect(lb.listenerIds).toHaveLength(2);
  });

  it('names every bad field at once', async () => {
    const bad = newListener({
      name: 'bell\u0007',
      loadBalancerId: 'lb',
      protocolPort: 70_000,
      connectionLimit: 0,
      defaultPoolId: 'x',
      insertHeaders: { 'X-Evil': 'yes' },
      timeoutClientData: -1,
      timeoutTcpInspect: 2_073_600_001,
      tags: Array.from({ length: 65 }, () => 't'),
    });
    expect((await failure(bad)).fields).toEqual({
      'listener.name': 'INVALID_CHARACTER',
      'listener.load_balancer_id': 'INVALID_UUID',
      'listener.protocol_port': 'OUT_OF_RANGE',
      'listener.connection_limit': 'OUT_OF_RANGE',
      'listener.default_pool_id': 'INVALID_UUID',
      'listener.insert_headers': 'INVALID_VALUE',
      'listener.timeout_client_data': 'OUT_OF_RANGE',
      'listener.timeout_tcp_inspect': 'OUT_OF_RANGE',
      'listener.tags': 'TOO_MANY',
    });
    const empty = world.listeners.createListener({ listener: undefined, requestId }, alice);
    expect((await failure(empty)).fields).toEqual({
      'listener.load_balancer_id': 'REQUIRED',
      'listener.protocol': 'REQUIRED',
      'listener.protocol_port': 'REQUIRED',
    });
  });

  it('speaks only what is rendered, and adds headers only to HTTP', async () => {
    for (const protocol of ['PROTOCOL_UDP', 'PROTOCOL_TERMINATED_HTTPS', 'PROTOCOL_PROMETHEUS'] as const) {
      expect(await failure(newListener({ protocol }))).toMatchObject({ reason: 'UNSUPPORTED_BY_PROVIDER' });
    }
    const withHeaders = { protocol: 'PROTOCOL_TCP', insertHeaders: { 'X-Forwarded-For': 'true' } } as const;
    expect(await failure(newListener(withHeaders))).toMatchObject({ reason: 'NOT_ALLOWED_FOR_PROTOCOL' });
  });

  it('has its port alone: one of two at once wins', async () => {
    const tries = await Promise.allSettled([newListener(), newListener({ protocol: 'PROTOCOL_TCP' })]);
    expect(tries.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    const [lost] = tries.filter((result) => result.status === 'rejected');
    expect(lost?.reason).toMatchObject({ kind: 'exists', reason: 'LISTENER_PORT_TAKEN' });
    const { revision } = await world.loadBalancers.getLoadBalancer({ id: lbId }, alice);
    expect(revision).toBe(3);
  });

  it('takes only a pool of its load balancer that fits', async () => {
    const tcp = await newPool({ protocol: 'PROTOCOL_TCP' });
    expect(await failure(newListener({ defaultPoolId: tcp.id }))).toMatchObject({
      fields: { 'listener.default_pool_id': 'PROTOCOL_MISMATCH' },
    });
    expect(await failure(newListener({ defaultPoolId: randomUUID() }))).toMatchObject({ reason: 'POOL_NOT_FOUND' });
    const other = await createAll(world, alice);
    expect(await failure(newListener({ defaultPoolId: other.back.id }))).toMatchObject({ reason: 'POOL_NOT_FOUND' });
    await world.pools.deletePool({ ...nothing, id: tcp.id }, alice);
    expect(await failure(newListener({ defaultPoolId: tcp.id, protocol: 'PROTOCOL_TCP' }))).toMatchObject({
      reason: 'POOL_BEING_DELETED',
    });
  });

  it('changes by mask, detaches its pool, and keeps what cannot change', async () => {
    const { id, etag } = await newListener({ defaultPoolId: poolId, name: 'a' });
    await settle(world, lbId);
    const changed = await setListener({ id, etag, name: 'b', timeoutClientData: 1 });
    expect(changed).toMatchObject({
      name: 'b',
      timeoutClientData: 1,
      defaultPoolId: poolId,
      provisioningStatus: 'PROVISIONING_STATUS_PENDING_UPDATE',
    });
    expect((await setListener({ id, defaultPoolId: '' })).defaultPoolId).toBe('');
    expect((await setListener({ id }, ['timeout_client_data', 'name'])).timeoutClientData).toBe(50_000);
    expect(await failure(setListener({ id, protocolPort: 99, protocol: 'PROTOCOL_TCP' }))).toMatchObject({
      fields: { 'listener.protocol_port': 'IMMUTABLE_FIELD', 'listener.protocol': 'IMMUTABLE_FIELD' },
    });
    expect(await failure(setListener({ id, name: 'c', etag }))).toMatchObject({ reason: 'ETAG_MISMATCH' });
    expect(await failure(setListener({ id, connectionLimit: -7 }))).toMatchObject({ reason: 'OUT_OF_RANGE' });
    expect(await failure(setListener({ id: '' }))).toMatchObject({ fields: { 'listener.id': 'REQUIRED' } });
  });

  it('keeps a name that looks like a word of an enum', async () => {
    const { id } = await newListener();
    expect((await setListener({ id, name: 'MY_UNSPECIFIED' })).name).toBe('MY_UNSPECIFIED');
  });

  it('is deleted once, with the same answer again, also when it was never applied', async () => {
    const { id } = await newListener();
    const first = await world.listeners.deleteListener({ ...nothing, id }, alice);
    expect(first.provisioningStatus).toBe('PROVISIONING_STATUS_PENDING_DELETE');
    expect(await world.listeners.deleteListener({ ...nothing, id }, alice)).toEqual(first);
    expect(await failure(setListener({ id, name: 'x' }))).toMatchObject({
      kind: 'state',
      reason: 'LISTENER_BEING_DELETED',
    });
    expect(await queued(world, lbId)).toEqual(['load_balancer.update']);
    await newListener();
    await settle(world, lbId);
    expect(await failure(world.listeners.getListener({ id }, alice))).toMatchObject({ reason: 'LISTENER_NOT_FOUND' });
  });

  it('is created once for one request id', async () => {
    const once = randomUUID();
    const [first, twin] = await Promise.all([newListener({}, once), newListener({}, once)]);
    expect(twin.id).toBe(first.id);
    expect(await failure(newListener({ protocolPort: 99 }, once))).toMatchObject({ reason: 'REQUEST_ID_REUSED' });
  });
});

describe('a pool', () => {
  it('becomes the default pool of the listener that is named', async () => {
    const front = await newListener();
    const back = await newPool({ loadBalancerId: '' }, front.id);
    expect(back).toMatchObject({ loadBalancerId: lbId, listenerIds: [front.id], memberIds: [], healthMonitorId: '' });
    expect((await world.listeners.getListener({ id: front.id }, alice)).defaultPoolId).toBe(back.id);
    expect(await failure(newPool({}, front.id))).toMatchObject({ kind: 'exists', reason: 'LISTENER_HAS_POOL' });
  });

  it('needs a load balancer or a listener of it, and a protocol that fits', async () => {
    const tcp = await newListener();
    expect((await failure(newPool({ loadBalancerId: '' }))).fields).toEqual({ 'pool.load_balancer_id': 'REQUIRED' });
    expect((await failure(newPool({ loadBalancerId: randomUUID() }, tcp.id))).fields).toEqual({
      'pool.load_balancer_id': 'LOAD_BALANCER_MISMATCH',
    });
    expect((await failure(newPool({ protocol: 'PROTOCOL_TCP' }, tcp.id))).fields).toEqual({
      'pool.protocol': 'PROTOCOL_MISMATCH',
    });
    expect(await failure(newPool({}, randomUUID()))).toMatchObject({ reason: 'LISTENER_NOT_FOUND' });
    expect(await failure(newPool({ loadBalancerId: randomUUID() }))).toMatchObject({
      reason: 'LOAD_BALANCER_NOT_FOUND',
    });
  });

  it('refuses what is not rendered, and names every bad field', async () => {
    expect(await failure(newPool({ lbAlgorithm: 'LB_ALGORITHM_SOURCE_IP_PORT' }))).toMatchObject({
      reason: 'UNSUPPORTED_BY_PROVIDER',
      details: { field: 'pool.lb_algorithm', value: 'SOURCE_IP_PORT' },
    });
    expect(await failure(newPool({ protocol: 'PROTOCOL_SCTP' }))).toMatchObject({ reason: 'UNSUPPORTED_BY_PROVIDER' });
    const empty = world.pools.createPool({ pool: undefined, listenerId: 'x', requestId }, alice);
    expect((await failure(empty)).fields).toEqual({
      'pool.protocol': 'REQUIRED',
      'pool.lb_algorithm': 'REQUIRED',
      listener_id: 'INVALID_UUID',
    });
  });

  it('has the cookie name that its persistence needs', async () => {
    const persistence = (type: 'TYPE_APP_COOKIE' | 'TYPE_HTTP_COOKIE' | 'TYPE_UNSPECIFIED', cookieName: string) =>
      newPool({ sessionPersistence: { type, cookieName } });
    const path = 'pool.session_persistence.cookie_name';
    expect((await failure(persistence('TYPE_APP_COOKIE', ''))).fields).toEqual({ [path]: 'REQUIRED' });
    expect((await failure(persistence('TYPE_HTTP_COOKIE', 'a'))).fields).toEqual({ [path]: 'NOT_ALLOWED_FOR_TYPE' });
    expect((await failure(persistence('TYPE_APP_COOKIE', 'a b'))).fields).toEqual({ [path]: 'INVALID_COOKIE_NAME' });
    expect((await failure(persistence('TYPE_UNSPECIFIED', ''))).fields).toEqual({
      'pool.session_persistence.type': 'REQUIRED',
    });
    expect((await persistence('TYPE_APP_COOKIE', 'JSESSIONID')).sessionPersistence).toEqual({
      type: 'TYPE_APP_COOKIE',
      cookieName: 'JSESSIONID',
    });
  });

  it('changes its algorithm, and loses its persistence by mask', async () => {
    const { id } = await newPool({ sessionPersistence: { type: 'TYPE_SOURCE_IP', cookieName: '' } });
    const set = (fields: Partial<Pool>, updateMask?: string[]) =>
      world.pools.updatePool(
        {
          pool: pool('', { protocol: 'PROTOCOL_UNSPECIFIED', lbAlgorithm: 'LB_ALGORITHM_UNSPECIFIED', id, ...fields }),
          updateMask,
          requestId,
        },
        alice,
      );
    const changed = await set({ lbAlgorithm: 'LB_ALGORITHM_LEAST_CONNECTIONS' });
    expect(changed).toMatchObject({
      lbAlgorithm: 'LB_ALGORITHM_LEAST_CONNECTIONS',
      sessionPersistence: { type: 'TYPE_SOURCE_IP' },
    });
    expect((await set({}, ['session_persistence'])).sessionPersistence).toBeUndefined();
    expect((await failure(set({}, ['lb_algorithm']))).fields).toEqual({ 'pool.lb_algorithm': 'REQUIRED' });
    expect((await failure(set({ protocol: 'PROTOCOL_TCP' }))).fields).toEqual({ 'pool.protocol': 'IMMUTABLE_FIELD' });
  });

  it('takes members and monitor with it when it is deleted, and leaves its listeners without a pool', async () => {
    const { lb, front, back, server, monitor } = await createAll(world, alice);
    await settle(world, lb.id);
    await world.pools.deletePool({ ...nothing, id: back.id }, alice);
    const tree = await world.loadBalancers.getLoadBalancerStatusTree({ id: lb.id }, alice);
    const deleting = 'PROVISIONING_STATUS_PENDING_DELETE';
    expect(tree.pools).toMatchObject([{ id: back.id, provisioningStatus: deleting }]);
    expect(tree.members).toMatchObject([{ id: server.id, provisioningStatus: deleting }]);
    expect(tree.healthMonitors).toMatchObject([{ id: monitor.id, provisioningStatus: deleting }]);
    expect(tree.listeners).toMatchObject([
      { id: front.id, defaultPoolId: '', provisioningStatus: 'PROVISIONING_STATUS_PENDING_UPDATE' },
    ]);
    expect(tree.loadBalancer?.poolIds).toEqual([]);
    expect(await failure(world.members.createMember({ member: member(back.id), requestId }, alice))).toMatchObject({
      reason: 'POOL_BEING_DELETED',
    });
    expect(await queued(world, lb.id)).toEqual(['load_balancer.update']);
  });
});

describe('a member', () => {
  it('has its address in canonical form, and defaults', async () => {
    const created = await newMember({ address: '2001:DB8:0:0::0001', monitorAddress: '::ffff:10.1.2.3' });
    expect(created).toMatchObject({
      address: '2001:db8::1',
      monitorAddress: '10.1.2.3',
      monitorPort: 0,
      weight: 1,
      backup: false,
      operatingStatus: 'OPERATING_STATUS_NO_MONITOR',
      loadBalancerId: lbId,
    });
    expect(await failure(newMember({ address: '2001:db8:0::1' }))).toMatchObject({
      kind: 'exists',
      reason: 'MEMBER_EXISTS',
    });
  });

  it('is not at a reserved address, in whatever form', async () => {
    for (const address of ['169.254.169.254', '::ffff:169.254.169.254', '::ffff:a9fe:a9fe', 'FD00:0::1']) {
      expect((await failure(newMember({ address }))).fields).toEqual({ 'member.address': 'RESERVED_ADDRESS' });
    }
    expect((await failure(newMember({ monitorAddress: 'fd00::1' }))).fields).toEqual({
      'member.monitor_address': 'RESERVED_ADDRESS',
    });
  });

  it('is at no loopback address where amphorae have a network of their own, and is told where this machine is', async () => {
    const tell = (reachesLoopback: boolean) =>
      world.db.transaction((tx) =>
        new Deployments().put(tx, {
          topologies: ['SINGLE'],
          reachesLoopback,
          hostAddress: reachesLoopback ? null : '198.18.2.1',
        }),
      );
    await tell(true);
    const created = await newMember({ address: '127.0.0.1' });
    await tell(false);
    const refused = await failure(newMember({ address: '::ffff:127.1.2.3', monitorAddress: '::1' }));
    expect(refused.fields).toEqual({
      'member.address': 'LOOPBACK_ADDRESS',
      'member.monitor_address': 'LOOPBACK_ADDRESS',
    });
    const change = { ...created, monitorAddress: '127.0.0.1', etag: '' };
    const update = world.members.updateMember({ member: change, updateMask: ['monitor_address'], requestId }, alice);
    await expect(update).rejects.toThrow('reached at 198.18.2.1');
    await newMember({ address: '198.18.2.1' });
    await tell(true);
  });

  it('names every bad field at once', async () => {
    const bad = newMember({
      poolId: '',
      address: 'fe80::1%eth0',
      protocolPort: 0,
      weight: 257,
      monitorAddress: '0.0.0.0',
      monitorPort: 65_536,
      subnetId: 'x',
    });
    expect((await failure(bad)).fields).toEqual({
      'member.pool_id': 'REQUIRED',
      'member.address': 'INVALID_ADDRESS',
      'member.protocol_port': 'REQUIRED',
      'member.weight': 'OUT_OF_RANGE',
      'member.monitor_address': 'INVALID_ADDRESS',
      'member.monitor_port': 'OUT_OF_RANGE',
      'member.subnet_id': 'INVALID_UUID',
    });
    expect((await failure(newMember({ subnetId: randomUUID() }))).fields).toEqual({
      'member.subnet_id': 'SUBNET_NOT_FOUND',
    });
  });

  it('is drained, brought back and deleted', async () => {
    const { id } = await newMember({ monitorPort: 99 });
    const set = (fields: Partial<Member>, updateMask?: string[]) =>
      world.members.updateMember(
        { member: member('', { address: '', protocolPort: 0, id, ...fields }), updateMask, requestId },
        alice,
      );
    expect((await set({ weight: 0 })).weight).toBe(0);
    expect(await set({}, ['weight', 'monitor_port'])).toMatchObject({ weight: 1, monitorPort: 0 });
    expect((await set({ address: '::ffff:10.0.0.1', backup: true })).backup).toBe(true);
    expect((await failure(set({ address: '10.0.0.2' }))).fields).toEqual({ 'member.address': 'IMMUTABLE_FIELD' });
    await world.members.deleteMember({ ...nothing, id }, alice);
    expect(await failure(set({ weight: 1 }))).toMatchObject({ reason: 'MEMBER_BEING_DELETED' });
    expect((await world.members.getMember({ id }, alice)).provisioningStatus).toBe(
      'PROVISIONING_STATUS_PENDING_DELETE',
    );
  });
});

describe('a health monitor', () => {
  it('is the only one of its pool, with defaults', async () => {
    const created = await newMonitor();
    expect(created).toMatchObject({
      maxRetriesDown: 3,
      httpMethod: 'GET',
      urlPath: '/',
      expectedCodes: '200',
      httpVersion: undefined,
      loadBalancerId: lbId,
    });
    expect(await failure(newMonitor())).toMatchObject({ kind: 'exists', reason: 'POOL_HAS_HEALTH_MONITOR' });
    expect((await world.pools.getPool({ id: poolId }, alice)).healthMonitorId).toBe(created.id);
  });

  it('names every bad field at once', async () => {
    const bad = newMonitor({
      delay: 0,
      timeout: 3_601,
      maxRetries: 11,
      maxRetriesDown: 0,
      httpMethod: 'FETCH',
      urlPath: '//host/x',
      expectedCodes: '204-200',
      httpVersion: '2',
      domainName: '-x',
    });
    expect((await failure(bad)).fields).toEqual({
      'health_monitor.delay': 'OUT_OF_RANGE',
      'health_monitor.timeout': 'OUT_OF_RANGE',
      'health_monitor.max_retries': 'OUT_OF_RANGE',
      'health_monitor.max_retries_down': 'OUT_OF_RANGE',
      'health_monitor.http_method': 'INVALID_METHOD',
      'health_monitor.url_path': 'INVALID_URL_PATH',
      'health_monitor.expected_codes': 'INVALID_CODES',
      'health_monitor.http_version': 'INVALID_HTTP_VERSION',
      'health_monitor.domain_name': 'INVALID_DOMAIN_NAME',
    });
    const empty = world.healthMonitors.createHealthMonitor({ healthMonitor: undefined, requestId }, alice);
    expect(Object.values((await failure(empty)).fields)).toEqual(Array(5).fill('REQUIRED'));
  });

  it('has HTTP fields only where it speaks HTTP, and a domain name only with 1.1', async () => {
    expect(
      (await failure(newMonitor({ type: 'HEALTH_MONITOR_TYPE_TCP', urlPath: '/x', httpMethod: 'GET' }))).fields,
    ).toEqual({
      'health_monitor.http_method': 'NOT_ALLOWED_FOR_TYPE',
      'health_monitor.url_path': 'NOT_ALLOWED_FOR_TYPE',
    });
    expect((await failure(newMonitor({ domainName: 'a.example' }))).fields).toEqual({
      'health_monitor.domain_name': 'NEEDS_HTTP_1_1',
    });
    for (const type of ['HEALTH_MONITOR_TYPE_PING', 'HEALTH_MONITOR_TYPE_UDP_CONNECT'] as const) {
      expect(await failure(newMonitor({ type }))).toMatchObject({ reason: 'UNSUPPORTED_BY_PROVIDER' });
    }
    const tcp = await newMonitor({ type: 'HEALTH_MONITOR_TYPE_TCP' });
    expect(tcp.urlPath).toBeUndefined();
  });

  it('changes and is deleted', async () => {
    const { id } = await newMonitor({ httpVersion: '1.1', domainName: 'a.example' });
    const set = (fields: Partial<HealthMonitor>, updateMask?: string[]) => {
      const message = healthMonitor('', {
        type: 'HEALTH_MONITOR_TYPE_UNSPECIFIED',
        delay: undefined,
        timeout: undefined,
        maxRetries: undefined,
        id,
        ...fields,
      });
      return world.healthMonitors.updateHealthMonitor({ healthMonitor: message, updateMask, requestId }, alice);
    };
    expect(await set({ delay: 9, expectedCodes: '200, 204' })).toMatchObject({ delay: 9, domainName: 'a.example' });
    expect((await failure(set({ httpVersion: '1.0' }))).fields).toEqual({
      'health_monitor.domain_name': 'NEEDS_HTTP_1_1',
    });
    expect(await set({}, ['http_version', 'domain_name'])).toMatchObject({ httpVersion: undefined });
    expect((await failure(set({}, ['delay']))).fields).toEqual({ 'health_monitor.delay': 'REQUIRED' });
    expect((await failure(set({ type: 'HEALTH_MONITOR_TYPE_TCP' }))).fields).toEqual({
      'health_monitor.type': 'IMMUTABLE_FIELD',
    });
    await world.healthMonitors.deleteHealthMonitor({ ...nothing, id }, alice);
    expect(await newMonitor()).toMatchObject({ poolId });
  });
});
