import { randomUUID } from 'node:crypto';
import type { LoadBalancer } from '@octavia/proto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createAll, listener, loadBalancer, pool } from './messages.ts';
import { admin, FOREIGN_SUBNET, failure, queued, settle, startWorld, tenant, type World } from './world.ts';

let world: World;
beforeAll(async () => {
  world = await startWorld();
});
afterAll(() => world.stop());

const alice = tenant();
const create = (fields: Partial<LoadBalancer> = {}, requestId = '', as = alice) =>
  world.loadBalancers.createLoadBalancer({ loadBalancer: loadBalancer(fields), requestId }, as);
const remove = (id: string, fields: { cascade?: boolean; etag?: string; requestId?: string } = {}) =>
  world.loadBalancers.deleteLoadBalancer({ id, cascade: false, etag: '', requestId: '', ...fields }, alice);
const update = (fields: Partial<LoadBalancer>, updateMask?: string[], requestId = '', as = alice) =>
  world.loadBalancers.updateLoadBalancer({ loadBalancer: loadBalancer(fields), updateMask, requestId }, as);

describe('the apolocation group of a load balancer', () => {
  it('is kept without the spaces around it, and told', async () => {
    const { id, apolocationGroup } = await create({ apolocationGroup: '  Shop \u{1F6CD} ' });
    expect(apolocationGroup).toBe('Shop \u{1F6CD}');
    expect((await world.loadBalancers.getLoadBalancer({ id }, alice)).apolocationGroup).toBe('Shop \u{1F6CD}');
    const [revision] = await world.db.reader.query('SELECT changes FROM revision WHERE load_balancer_id = $1', [id]);
    expect(revision.changes.apolocationGroup).toEqual(['Shop \u{1F6CD}']);
  });

  it('is none when it is empty, and has at most 64 characters that can be seen', async () => {
    for (const none of ['', '  ']) expect((await create({ apolocationGroup: none })).apolocationGroup).toBe('');
    const longest = '\u{1F6CD}'.repeat(64);
    expect((await create({ apolocationGroup: longest })).apolocationGroup).toBe(longest);
    const fields = async (apolocationGroup: string) => (await failure(create({ apolocationGroup }))).fields;
    expect(await fields('x'.repeat(65))).toEqual({ 'load_balancer.apolocation_group': 'TOO_LONG' });
    for (const bad of ['a\nb', 'a\u200bb', 'a\u2028b']) {
      expect(await fields(bad)).toEqual({ 'load_balancer.apolocation_group': 'INVALID_CHARACTER' });
    }
  });

  it('cannot be changed, given or taken later', async () => {
    const { id } = await create({ apolocationGroup: 'shop' });
    const refused = { fields: { 'load_balancer.apolocation_group': 'IMMUTABLE_FIELD' } };
    expect(await failure(update({ id, apolocationGroup: 'Shop' }))).toMatchObject(refused);
    expect(await failure(update({ id }, ['apolocation_group']))).toMatchObject(refused);
    const { id: lone } = await create();
    expect(await failure(update({ id: lone, apolocationGroup: 'shop' }, ['apolocation_group']))).toMatchObject(refused);
    // What was read may be sent back.
    const changed = await update({ id, apolocationGroup: 'shop', name: 'b' });
    expect(changed).toMatchObject({ name: 'b', apolocationGroup: 'shop' });
  });
});

describe('creating a load balancer', () => {
  it('answers with its address, defaults and the flow that makes it', async () => {
    const created = await create({ name: 'web', tags: ['a'] });
    expect(created).toMatchObject({
      name: 'web',
      description: '',
      adminStateUp: true,
      tags: ['a'],
      projectId: alice.caller.projectId,
      provider: 'amphora',
      topology: 'TOPOLOGY_SINGLE',
      vipSubnetId: world.subnet.id,
      vipNetworkId: world.subnet.networkId,
      provisioningStatus: 'PROVISIONING_STATUS_PENDING_CREATE',
      operatingStatus: 'OPERATING_STATUS_OFFLINE',
      revision: 1,
      appliedRevision: 0,
      statusDetail: { flow: 'load_balancer.create', waitingFor: 'its turn' },
    });
    expect(created.vipAddress).toMatch(/^127\.84\.(1[6-9]|2[0-3])\.\d+$/);
    expect(await queued(world, created.id)).toEqual(['load_balancer.create']);
    const got = await world.loadBalancers.getLoadBalancer({ id: created.id }, alice);
    expect(got.statusDetail?.flowId).toBe(created.statusDetail?.flowId);
    expect({ ...got, statusDetail: undefined }).toEqual({ ...created, statusDetail: undefined });
    const [revision] = await world.db.reader.query('SELECT * FROM revision WHERE load_balancer_id = $1', [created.id]);
    expect(revision).toMatchObject({ number: 1, action: 'CREATE', object_kind: 'load_balancer', author: 'alice' });
    expect(revision.changes.name).toEqual(['web']);
  });

  it('gives distinct addresses to fifty at once', async () => {
    const created = await Promise.all(Array.from({ length: 50 }, () => create()));
    expect(new Set(created.map(({ vipAddress }) => vipAddress)).size).toBe(50);
  });

  it('gives the address that was asked for, once', async () => {
    const rows = await world.db.reader.query('SELECT host(address) AS address FROM vip_address');
    const taken = rows.map(({ address }: { address: string }) => address);
    const vipAddress = ['127.84.17.7', '127.84.17.8', '127.84.17.9'].find((one) => !taken.includes(one));
    expect((await create({ vipAddress })).vipAddress).toBe(vipAddress);
    expect(await failure(create({ vipAddress }))).toMatchObject({
      kind: 'exists',
      reason: 'VIP_ADDRESS_TAKEN',
    });
    expect(await failure(create({ vipAddress: '127.84.99.1' }))).toMatchObject({
      fields: { 'load_balancer.vip_address': 'ADDRESS_OUTSIDE_SUBNET' },
    });
  });

  it('takes a subnet that only the worker knows, whose address is not known yet', async () => {
    const created = await create({ vipSubnetId: FOREIGN_SUBNET.id });
    expect(created).toMatchObject({ vipAddress: '', vipNetworkId: FOREIGN_SUBNET.networkId });
    const given = await create({ vipSubnetId: FOREIGN_SUBNET.id.toUpperCase(), vipAddress: '10.20.3.4' });
    expect(given).toMatchObject({ vipAddress: '10.20.3.4', vipSubnetId: FOREIGN_SUBNET.id });
    expect(await failure(create({ vipSubnetId: FOREIGN_SUBNET.id, vipAddress: '10.21.0.1' }))).toMatchObject({
      fields: { 'load_balancer.vip_address': 'ADDRESS_OUTSIDE_SUBNET' },
    });
    expect(await failure(create({ vipSubnetId: randomUUID() }))).toMatchObject({
      kind: 'invalid',
      fields: { 'load_balancer.vip_subnet_id': 'SUBNET_NOT_FOUND' },
    });
  });

  it('names every bad field at once', async () => {
    const wrong = {
      name: 'x'.repeat(256),
      description: 'a\u0000b',
      tags: [''],
      vipAddress: '300.1.1.1',
      vipSubnetId: 'subnet',
      provider: 'other',
      projectId: 'p'.repeat(37),
    };
    expect(await failure(create(wrong, '', admin))).toMatchObject({
      kind: 'invalid',
      reason: 'INVALID_REQUEST',
      fields: {
        'load_balancer.name': 'TOO_LONG',
        'load_balancer.description': 'INVALID_CHARACTER',
        'load_balancer.tags': 'INVALID_TAG',
        'load_balancer.vip_address': 'INVALID_ADDRESS',
        'load_balancer.vip_subnet_id': 'INVALID_UUID',
        'load_balancer.provider': 'PROVIDER_NOT_ENABLED',
        'load_balancer.project_id': 'TOO_LONG',
      },
    });
  });

  it('is for another project only where an administrator asks', async () => {
    const projectId = randomUUID();
    expect(await failure(create({ projectId }))).toMatchObject({ kind: 'forbidden', reason: 'ROLE_REQUIRED' });
    expect((await create({ projectId }, '', admin)).projectId).toBe(projectId);
    const nobody = { caller: { userId: 'u', roles: ['admin'] } };
    expect(await failure(create({}, '', nobody as typeof alice))).toMatchObject({
      fields: { 'load_balancer.project_id': 'REQUIRED' },
    });
  });
});

describe('a repeated request', () => {
  it('is answered from the first one, in its current state', async () => {
    const requestId = randomUUID();
    const [first, twin] = await Promise.all([create({ name: 'once' }, requestId), create({ name: 'once' }, requestId)]);
    expect(twin.id).toBe(first.id);
    await settle(world, first.id);
    const later = await create({ name: 'once' }, requestId);
    expect(later).toMatchObject({ id: first.id, provisioningStatus: 'PROVISIONING_STATUS_ACTIVE' });
    expect(await failure(create({ name: 'twice' }, requestId))).toMatchObject({
      kind: 'exists',
      reason: 'REQUEST_ID_REUSED',
    });
    expect((await create({ name: 'once' }, requestId, tenant())).id).not.toBe(first.id);
    expect(await failure(create({}, 'x'))).toMatchObject({ fields: { request_id: 'INVALID_UUID' } });
  });

  it('that failed may be repeated with the same id', async () => {
    const requestId = randomUUID();
    const { vipAddress } = await create({});
    expect(await failure(create({ vipAddress }, requestId))).toMatchObject({
      reason: 'VIP_ADDRESS_TAKEN',
    });
    expect((await create({ name: 'other' }, requestId)).name).toBe('other');
  });

  it('changes and deletes once', async () => {
    const { id } = await create();
    const requestId = randomUUID();
    const first = await update({ id, name: 'b' }, undefined, requestId);
    expect(await update({ id, name: 'b' }, undefined, requestId)).toMatchObject({ revision: 2, etag: first.etag });
    const deletion = randomUUID();
    await remove(id, { requestId: deletion });
    await settle(world, id);
    expect(await remove(id, { requestId: deletion })).toMatchObject({
      id,
      provisioningStatus: 'PROVISIONING_STATUS_DELETED',
    });
    expect(await failure(remove(id))).toMatchObject({ reason: 'LOAD_BALANCER_NOT_FOUND' });
  });
});

describe('changing a load balancer', () => {
  it('is taken while it is busy, and folds into the flow that is under way', async () => {
    const { id, etag } = await create({ name: 'a', description: 'kept' });
    const changed = await update({ id, name: 'b' });
    expect(changed).toMatchObject({
      name: 'b',
      description: 'kept',
      revision: 2,
      provisioningStatus: 'PROVISIONING_STATUS_PENDING_CREATE',
    });
    expect(changed.etag).not.toBe(etag);
    expect(await queued(world, id)).toEqual(['load_balancer.create']);
    await settle(world, id);
    expect(await update({ id, name: 'c' })).toMatchObject({
      provisioningStatus: 'PROVISIONING_STATUS_PENDING_UPDATE',
      statusDetail: { flow: 'load_balancer.update' },
    });
    const [revision] = await world.db.reader.query(
      'SELECT changes FROM revision WHERE load_balancer_id = $1 AND number = 3',
      [id],
    );
    expect(revision.changes).toEqual({ name: ['b', 'c'] });
  });

  it('is taken from ERROR, which is then forgotten', async () => {
    const { id } = await create();
    await settle(world, id);
    await world.db.reader.query(
      `UPDATE load_balancer SET provisioning_status = 'ERROR', fault_reason = 'X_FAILED', fault_message = 'no' WHERE id = $1`,
      [id],
    );
    const broken = await world.loadBalancers.getLoadBalancer({ id }, alice);
    expect(broken.statusDetail).toMatchObject({ reason: 'X_FAILED', message: 'no', flow: '' });
    const changed = await update({ id, adminStateUp: false });
    expect(changed).toMatchObject({ adminStateUp: false, statusDetail: { reason: '', flow: 'load_balancer.update' } });
  });

  it('follows the mask: a masked field without a value goes back to its default', async () => {
    const { id } = await create({ name: 'a', description: 'd', tags: ['t'], adminStateUp: false });
    const changed = await update({ id, name: 'ignored' }, ['description', 'admin_state_up', 'tags', 'created_at']);
    expect(changed).toMatchObject({ name: 'a', description: '', adminStateUp: true, tags: [] });
    expect(await update({ id, name: 'all', description: 'x' }, ['*'])).toMatchObject({ name: 'all', description: 'x' });
  });

  it('refuses unknown paths, and other values of what cannot change, all at once', async () => {
    const { id, vipAddress } = await create();
    const bad = update({ id, vipAddress: '127.84.20.1', projectId: 'other', name: 'x'.repeat(300) }, [
      'vip_address',
      'project_id',
      'name',
      'colour',
    ]);
    expect(await failure(bad)).toMatchObject({
      fields: {
        'load_balancer.vip_address': 'IMMUTABLE_FIELD',
        'load_balancer.project_id': 'IMMUTABLE_FIELD',
        'load_balancer.name': 'TOO_LONG',
        update_mask: 'UNKNOWN_FIELD',
      },
    });
    expect((await update({ id, vipAddress }, ['vip_address'])).vipAddress).toBe(vipAddress);
    expect(await failure(update({ id, flavorId: randomUUID() }))).toMatchObject({ reason: 'IMMUTABLE_FIELD' });
  });

  it('needs the etag to match where one is given', async () => {
    const { id, etag } = await create();
    expect((await update({ id, name: 'b', etag })).name).toBe('b');
    expect(await failure(update({ id, name: 'c', etag }))).toMatchObject({ kind: 'conflict', reason: 'ETAG_MISMATCH' });
    expect(await failure(remove(id, { etag }))).toMatchObject({ reason: 'ETAG_MISMATCH' });
  });

  it('takes turns: no change is lost among many at once', async () => {
    const { id } = await create();
    await Promise.all(Array.from({ length: 10 }, (_, i) => update({ id, description: `d${i}` })));
    expect((await world.loadBalancers.getLoadBalancer({ id }, alice)).revision).toBe(11);
  });
});

describe('deleting a load balancer', () => {
  it('needs cascade while it has children, and then takes them with it', async () => {
    const { lb } = await createAll(world, alice);
    expect(await failure(remove(lb.id))).toMatchObject({ kind: 'state', reason: 'HAS_CHILDREN' });
    const deleted = await remove(lb.id, { cascade: true });
    expect(deleted).toMatchObject({ provisioningStatus: 'PROVISIONING_STATUS_PENDING_DELETE', listenerIds: [] });
    expect(await queued(world, lb.id)).toEqual(['load_balancer.create', 'load_balancer.delete']);
    const tree = await world.loadBalancers.getLoadBalancerStatusTree({ id: lb.id }, alice);
    for (const child of [...tree.listeners, ...tree.pools, ...tree.members, ...tree.healthMonitors]) {
      expect(child.provisioningStatus).toBe('PROVISIONING_STATUS_PENDING_DELETE');
    }
  });

  it('is answered in the same way again, and refuses changes', async () => {
    const { id } = await create();
    const first = await remove(id);
    expect(await remove(id)).toEqual(first);
    expect(await queued(world, id)).toEqual(['load_balancer.create', 'load_balancer.delete']);
    const changes = [
      update({ id, name: 'x' }),
      world.listeners.createListener({ listener: listener(id), requestId: '' }, alice),
      world.pools.createPool({ pool: pool(id), listenerId: '', requestId: '' }, alice),
      world.loadBalancers.failoverLoadBalancer({ id, requestId: '' }, admin),
    ];
    for (const failed of await Promise.all(changes.map(failure))) {
      expect(failed).toMatchObject({ kind: 'state', reason: 'LOAD_BALANCER_BEING_DELETED' });
    }
  });

  it('ends with a load balancer that nobody finds', async () => {
    const { id } = await create();
    await remove(id);
    await settle(world, id);
    expect(await failure(world.loadBalancers.getLoadBalancer({ id }, alice))).toMatchObject({
      kind: 'missing',
      reason: 'LOAD_BALANCER_NOT_FOUND',
    });
    expect(await failure(world.loadBalancers.getLoadBalancerStatusTree({ id }, alice))).toMatchObject({
      kind: 'missing',
    });
    const { loadBalancers } = await world.loadBalancers.listLoadBalancers(
      { projectId: '', pageSize: 1000, pageToken: '', name: '' },
      alice,
    );
    expect(loadBalancers.map((lb) => lb.id)).not.toContain(id);
  });
});

describe('failover', () => {
  it('is for administrators, and needs nothing but a load balancer', async () => {
    const { id } = await create();
    await settle(world, id);
    expect(await failure(world.loadBalancers.failoverLoadBalancer({ id, requestId: '' }, alice))).toMatchObject({
      reason: 'ROLE_REQUIRED',
    });
    const requestId = randomUUID();
    const started = await world.loadBalancers.failoverLoadBalancer({ id, requestId }, admin);
    expect(started).toMatchObject({
      provisioningStatus: 'PROVISIONING_STATUS_PENDING_UPDATE',
      statusDetail: { flow: 'load_balancer.failover' },
      revision: 2,
    });
    await world.loadBalancers.failoverLoadBalancer({ id, requestId }, admin);
    expect(await queued(world, id)).toEqual(['load_balancer.failover']);
  });
});

describe('the status tree', () => {
  it('has everything below the load balancer', async () => {
    const { lb, front, back, server, monitor } = await createAll(world, alice);
    const tree = await world.loadBalancers.getLoadBalancerStatusTree({ id: lb.id }, alice);
    expect(tree.loadBalancer).toMatchObject({ id: lb.id, listenerIds: [front.id], poolIds: [back.id], revision: 5 });
    expect(tree.pools).toMatchObject([
      { id: back.id, listenerIds: [front.id], memberIds: [server.id], healthMonitorId: monitor.id },
    ]);
    expect(tree.members).toMatchObject([{ id: server.id, operatingStatus: 'OPERATING_STATUS_OFFLINE' }]);
    expect(tree.listeners).toMatchObject([{ id: front.id, defaultPoolId: back.id }]);
    expect(tree.healthMonitors).toMatchObject([{ id: monitor.id, statusDetail: { flow: 'load_balancer.create' } }]);
  });
});

describe('watching a load balancer', () => {
  it('sends the state at once, then each newest one, and DELETED last', async () => {
    const { id } = await create({ name: 'watched' });
    const seen: string[] = [];
    for await (const state of world.loadBalancers.watchLoadBalancer({ id }, { ...alice, deadlineMs: 15_000 })) {
      seen.push(`${state.name} ${state.provisioningStatus.replace('PROVISIONING_STATUS_', '')}`);
      if (seen.length === 1) await settle(world, id);
      if (seen.length === 2) await update({ id, name: 'renamed' });
      if (seen.length === 3) await remove(id);
      if (seen.length === 4) await settle(world, id);
    }
    expect(seen).toEqual([
      'watched PENDING_CREATE',
      'watched ACTIVE',
      'renamed PENDING_UPDATE',
      'renamed PENDING_DELETE',
      'renamed DELETED',
    ]);
  });

  it('hears of what was never notified', async () => {
    const { id } = await create();
    const watch = world.loadBalancers
      .watchLoadBalancer({ id }, { ...alice, deadlineMs: 15_000 })
      [Symbol.asyncIterator]();
    await watch.next();
    await world.db.reader.query(`UPDATE load_balancer SET provisioning_status = 'ACTIVE' WHERE id = $1`, [id]);
    const { value } = await watch.next();
    expect(value.provisioningStatus).toBe('PROVISIONING_STATUS_ACTIVE');
    await watch.return?.();
  });

  it('of another project is not found', async () => {
    const { id } = await create();
    const watch = world.loadBalancers.watchLoadBalancer({ id }, tenant());
    expect(await failure(watch[Symbol.asyncIterator]().next())).toMatchObject({ reason: 'LOAD_BALANCER_NOT_FOUND' });
  });
});
