import { Amphora, Capabilities, Flavor, LoadBalancerStatusTree, SystemStatus } from '@octavia/proto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { activeLoadBalancer, childrenOf, World } from './world.ts';

let world: World;
let lb: ReturnType<typeof activeLoadBalancer>;
let children: ReturnType<typeof childrenOf>;

beforeAll(async () => {
  world = await World.start();
});
afterAll(() => world.stop());
beforeEach(() => {
  world.calls.length = 0;
  world.objects.clear();
  world.overrides.clear();
  lb = world.put(activeLoadBalancer());
  children = childrenOf(lb);
  Object.values(children).forEach((child) => {
    world.put(child);
  });
});

const UUID = /^[0-9a-f]{8}-/;

describe('what a creation asks for', () => {
  it('carries every option of a load balancer, the caller, and one request id', async () => {
    world.overrides.set('listFlavors', ({ name }) => ({
      flavors: [Flavor.create({ id: 'f-id', name })],
      nextPageToken: '',
    }));
    const shown = await world.json(
      'loadbalancer create --name shop --description d --vip-subnet-id s1 --vip-address 127.0.1.9 --disable --tag a --tag b --flavor f --availability-zone z --apolocation-group shop --provider amphora --project project-b',
    );
    const { method, request, metadata } = world.calls.at(-1) ?? {};
    expect(method).toBe('createLoadBalancer');
    expect(request.loadBalancer).toMatchObject({
      name: 'shop',
      description: 'd',
      vipSubnetId: 's1',
      vipAddress: '127.0.1.9',
      adminStateUp: false,
      tags: ['a', 'b'],
      flavorId: 'f-id',
      availabilityZone: 'z',
      apolocationGroup: 'shop',
      provider: 'amphora',
      projectId: 'project-b',
    });
    expect(request.requestId).toMatch(UUID);
    expect(metadata).toMatchObject({
      'x-request-id': request.requestId,
      'x-project-id': 'project-b',
      'x-user-id': 'operator',
      'x-roles': 'load-balancer_admin',
    });
    expect(shown).toMatchObject({
      name: 'shop',
      apolocation_group: 'shop',
      provisioning_status: 'PENDING_CREATE',
      created_at: '2026-11-20T10:00:00',
    });
  });

  it('leaves out what was not said, so that the controller decides', async () => {
    await world.json('loadbalancer create');
    const { loadBalancer } = world.request('createLoadBalancer');
    expect([loadBalancer.name, loadBalancer.adminStateUp, loadBalancer.projectId]).toEqual([undefined, undefined, '']);
  });

  it('carries every option of a listener, whose load balancer and pool are found by name', async () => {
    await world.json(
      'loadbalancer listener create --name l --protocol http --protocol-port 8081 --connection-limit -1 --default-pool p --insert-headers X-Forwarded-For=true,X-Forwarded-Port=true --timeout-client-data 1 --timeout-member-connect 2 --timeout-member-data 3 --timeout-tcp-inspect 4 --enable web',
    );
    expect(world.request('createListener').listener).toMatchObject({
      loadBalancerId: lb.id,
      protocol: 'PROTOCOL_HTTP',
      protocolPort: 8081,
      connectionLimit: -1,
      defaultPoolId: children.pool.id,
      insertHeaders: { 'X-Forwarded-For': 'true', 'X-Forwarded-Port': 'true' },
      timeoutClientData: 1,
      timeoutMemberConnect: 2,
      timeoutMemberData: 3,
      timeoutTcpInspect: 4,
      adminStateUp: true,
    });
  });

  it('carries every option of a pool, of a listener or of a load balancer', async () => {
    await world.json(
      'loadbalancer pool create --name q --lb-algorithm ROUND_ROBIN --listener http --protocol HTTP --session-persistence type=APP_COOKIE,cookie_name=sid',
    );
    const ofListener = world.request('createPool');
    expect(ofListener.listenerId).toBe(children.listener.id);
    expect(ofListener.pool).toMatchObject({
      name: 'q',
      loadBalancerId: lb.id,
      protocol: 'PROTOCOL_HTTP',
      lbAlgorithm: 'LB_ALGORITHM_ROUND_ROBIN',
      sessionPersistence: { type: 'TYPE_APP_COOKIE', cookieName: 'sid' },
    });
    await world.json('loadbalancer pool create --lb-algorithm SOURCE_IP --loadbalancer web --protocol TCP');
    expect(world.request('createPool')).toMatchObject({ listenerId: '', pool: { loadBalancerId: lb.id } });
  });

  it('carries every option of a member and of a health monitor', async () => {
    await world.json(
      'loadbalancer member create --name m --address 127.0.0.1 --protocol-port 9002 --weight 5 --backup --subnet-id s --monitor-address 127.0.0.2 --monitor-port 9100 p',
    );
    expect(world.request('createMember').member).toMatchObject({
      poolId: children.pool.id,
      address: '127.0.0.1',
      protocolPort: 9002,
      weight: 5,
      backup: true,
      subnetId: 's',
      monitorAddress: '127.0.0.2',
      monitorPort: 9100,
    });
    const shown = await world.json(
      'loadbalancer healthmonitor create --name h --type tls-hello --delay 2 --timeout 1 --max-retries 2 --max-retries-down 4 --http-method get --url-path /h --expected-codes 200-204 --http-version 1.1 --domain-name a.example p',
    );
    expect(world.request('createHealthMonitor').healthMonitor).toMatchObject({
      poolId: children.pool.id,
      type: 'HEALTH_MONITOR_TYPE_TLS_HELLO',
      delay: 2,
      timeout: 1,
      maxRetries: 2,
      maxRetriesDown: 4,
      httpMethod: 'GET',
      urlPath: '/h',
      expectedCodes: '200-204',
      httpVersion: '1.1',
      domainName: 'a.example',
    });
    expect(shown.type).toBe('TLS-HELLO');
  });
});

describe('what a change asks for', () => {
  it('names exactly the fields that were said', async () => {
    const done = await world.run('loadbalancer listener set --name n --connection-limit 7 --disable http');
    expect(done).toEqual({ code: 0, out: '', err: '' });
    const { listener, updateMask } = world.request('updateListener');
    expect(updateMask.sort()).toEqual(['admin_state_up', 'connection_limit', 'name']);
    expect(listener).toMatchObject({
      id: children.listener.id,
      name: 'n',
      connectionLimit: 7,
      adminStateUp: false,
      etag: '',
    });
  });

  it('adds a tag to those that are there, and insists on having read the newest', async () => {
    world.put({ ...lb, tags: ['old'] });
    await world.run('loadbalancer set --tag new web');
    expect(world.request('updateLoadBalancer')).toMatchObject({
      updateMask: ['tags'],
      loadBalancer: { tags: ['old', 'new'], etag: 'etag-1' },
    });
    await world.run('loadbalancer set --tag only --no-tag web');
    expect(world.request('updateLoadBalancer').loadBalancer.tags).toEqual(['only']);
    await world.run('loadbalancer unset --tag old web');
    expect(world.request('updateLoadBalancer')).toMatchObject({ updateMask: ['tags'], loadBalancer: { tags: [] } });
  });

  it('returns to defaults with unset, and ends session persistence without a value', async () => {
    await world.run('loadbalancer member unset --weight --backup --monitor-port p blue');
    expect(world.request('updateMember')).toMatchObject({
      updateMask: ['weight', 'backup', 'monitor_port'],
      member: { weight: 1, backup: false, monitorPort: 0 },
    });
    await world.run('loadbalancer pool unset --session-persistence p');
    const { pool, updateMask } = world.request('updatePool');
    expect([updateMask, pool.sessionPersistence]).toEqual([['session_persistence'], undefined]);
  });

  it('deletes with cascade, and fails over', async () => {
    await world.run('loadbalancer delete --cascade web');
    expect(world.request('deleteLoadBalancer')).toMatchObject({ id: lb.id, cascade: true });
    await world.run(`loadbalancer failover ${lb.id}`);
    expect(world.request('failoverLoadBalancer')).toMatchObject({ id: lb.id });
    await world.run('loadbalancer healthmonitor delete check');
    expect(world.request('deleteHealthMonitor').id).toBe(children.monitor.id);
  });

  it('says that nothing would change, before it asks for anything', async () => {
    const { code, err } = await world.run('loadbalancer set web');
    expect([code, err.split('\n')[0]]).toEqual([2, 'error: Nothing to change: give at least one option.']);
  });
});

describe('what is shown', () => {
  it('lists the columns that OpenStack lists', async () => {
    const { out } = await world.run('loadbalancer list');
    expect(
      out
        .split('\n')[1]
        ?.split('|')
        .map((name) => name.trim())
        .filter(Boolean),
    ).toEqual(['id', 'name', 'project_id', 'vip_address', 'provisioning_status', 'operating_status', 'provider']);
    expect(out).toContain(`| ${lb.id} | web  | project-a  | 127.0.1.7   | ACTIVE`);
    expect(out).not.toContain('\u001b');
  });

  it('gives an array, an object, YAML or bare values to programs', async () => {
    expect(await world.json('loadbalancer list -c id -c name')).toEqual([{ id: lb.id, name: 'web' }]);
    expect(await world.json('loadbalancer member show p blue -c protocol_port -c backup -c subnet_id')).toEqual({
      protocol_port: 9001,
      backup: false,
      subnet_id: null,
    });
    expect((await world.run('loadbalancer show web -f yaml -c name -c listeners')).out).toBe(
      'name: web\nlisteners: []\n',
    );
    expect((await world.run('loadbalancer list -f value -c id -c vip_address')).out).toBe(`${lb.id} 127.0.1.7\n`);
    expect((await world.run('loadbalancer show web -f value -c vip_address')).out).toBe('127.0.1.7\n');
  });

  it('shows fields and values to people', async () => {
    const { out } = await world.run('loadbalancer listener show http -c name -c protocol_port');
    expect(out.split('\n').slice(0, 5)).toEqual([
      '+---------------+-------+',
      '| Field         | Value |',
      '+---------------+-------+',
      '| name          | http  |',
      '| protocol_port | 8080  |',
    ]);
  });

  it('lists an empty result as nothing, not as a failure', async () => {
    world.objects.clear();
    expect(await world.json('loadbalancer list')).toEqual([]);
    expect((await world.run('loadbalancer list')).code).toBe(0);
  });

  it('reads all pages, and filters what the contract does not filter', async () => {
    world.overrides.set('listLoadBalancers', ({ pageToken }) => ({
      loadBalancers: [
        activeLoadBalancer({
          name: pageToken || 'first',
          tags: pageToken ? ['x'] : [],
          apolocationGroup: pageToken ? '' : 'shop',
        }),
      ],
      nextPageToken: pageToken ? '' : 'second',
    }));
    expect(await world.json('loadbalancer list -c name')).toEqual([{ name: 'first' }, { name: 'second' }]);
    expect(await world.json('loadbalancer list -c name --tags x')).toEqual([{ name: 'second' }]);
    expect(await world.json('loadbalancer list -c name -c apolocation_group --apolocation-group shop')).toEqual([
      { name: 'first', apolocation_group: 'shop' },
    ]);
    const { err } = await world.run('loadbalancer list --limit 1');
    expect(err).toContain('Only the first 1 are shown');
  });

  it('shows the tree of statuses', async () => {
    world.overrides.set('getLoadBalancerStatusTree', () =>
      LoadBalancerStatusTree.create({
        loadBalancer: lb,
        listeners: [children.listener],
        pools: [children.pool],
        members: [children.member],
        healthMonitors: [children.monitor],
      }),
    );
    const { loadbalancer } = await world.json('loadbalancer status show web');
    expect(loadbalancer.listeners[0].pools[0]).toMatchObject({
      name: 'p',
      members: [{ address: '127.0.0.1', protocol_port: 9001, operating_status: 'ONLINE' }],
      health_monitor: { type: 'TLS-HELLO' },
    });
    const { out } = await world.run('loadbalancer status show web');
    expect(out).toContain('|       member blue 127.0.0.1:9001 ');
  });

  it('lists amphorae and capabilities', async () => {
    const amphora = Amphora.create({ id: lb.id, status: 'AMPHORA_STATUS_READY', role: 'AMPHORA_ROLE_UNSPECIFIED' });
    world.overrides.set('listAmphorae', () => ({ amphorae: [amphora], nextPageToken: '' }));
    expect(await world.json('loadbalancer amphora list --status READY -c status -c role -c loadbalancer_id')).toEqual([
      { status: 'READY', role: null, loadbalancer_id: null },
    ]);
    expect(world.request('listAmphorae').status).toBe('AMPHORA_STATUS_READY');
    world.overrides.set('getCapabilities', () =>
      Capabilities.create({ healthMonitorTypes: ['HEALTH_MONITOR_TYPE_TLS_HELLO'] }),
    );
    expect(await world.json('capability list')).toEqual([{ kind: 'health monitor type', name: 'TLS-HELLO' }]);
  });
});

describe('the status of the controller', () => {
  const system = (ready: boolean) =>
    SystemStatus.create({
      ready,
      database: 'PostgreSQL 18.4',
      services: [{ name: 'worker', address: '127.0.0.1:1', state: ready ? 'SERVING' : 'UNREACHABLE', version: '1' }],
      drivers: { compute: 'local' },
    });

  it('is shown, and fails while not all is ready', async () => {
    world.overrides.set('getSystemStatus', () => system(true));
    const { out } = await world.run('status');
    expect(out).toContain('| worker | SERVING');
    expect(out).toContain('compute=local');
    world.overrides.set('getSystemStatus', () => system(false));
    const { code, err } = await world.run('status -f json');
    expect([code, JSON.parse(err).error.reason]).toEqual([1, 'NOT_READY']);
    expect(err).toContain('worker is UNREACHABLE');
  });

  it('is waited for, from before there is a connection file, with what is missing', async () => {
    const config = `${world.folder}/later.json`;
    let asked = 0;
    world.overrides.set('getSystemStatus', () => system(++asked > 1));
    const { code, err } = await world.run(`status --wait --timeout 15s --config ${config}`, {
      during: (text) => {
        if (text.includes('connection file')) world.writeConfig(config);
      },
    });
    expect(code).toBe(0);
    expect(err.trim().split('\n')).toEqual(['waiting for: connection file', 'waiting for: worker is UNREACHABLE']);
  });

  it('fails when the time is up', async () => {
    world.overrides.set('getSystemStatus', () => system(false));
    const { code } = await world.run('status --wait --timeout 400ms');
    expect(code).toBe(1);
  });
});
