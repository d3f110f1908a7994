/** Builds load balancer trees for tests: from Octavia's examples, and by hand. */
import { readFileSync } from 'node:fs';
import {
  type AmphoraFacts,
  type HealthMonitor,
  type HealthMonitorType,
  type Intent,
  type LbAlgorithm,
  type Listener,
  type LoadBalancerTree,
  type Member,
  OCTAVIA_PLATFORM,
  type Pool,
  type Protocol,
  type SessionPersistenceType,
  type Topology,
} from '@octavia/domain';
import type { Peer } from '../src/index.ts';

export const FACTS: AmphoraFacts = {
  haproxyVersion: '2.6.12-1+deb12u3',
  keepalivedVersion: null,
  apiVersion: '1.0',
  cpuCount: null,
  activeTunedProfiles: [],
  memory: null,
  platform: OCTAVIA_PLATFORM,
};

let clock = 0;

export function intent(id: string): Intent {
  clock += 1;
  return {
    id,
    projectId: 'c0ffee00c0ffee00c0ffee00c0ffee00',
    author: 'user',
    requestId: 'request',
    name: '',
    adminStateUp: true,
    tags: [],
    provisioningStatus: 'ACTIVE',
    fault: null,
    revision: 1,
    appliedRevision: 1,
    createdAt: new Date(clock),
    updatedAt: null,
  };
}

export const LB_ID = 'b0000000-0000-4000-8000-000000000001';
export const uuid = (kind: number, n: number) => `${kind}0000000-0000-4000-8000-${String(n).padStart(12, '0')}`;

export function listener(n: number, over: Partial<Listener> = {}): Listener {
  return {
    ...intent(uuid(1, n)),
    loadBalancerId: LB_ID,
    description: '',
    protocol: 'HTTP',
    protocolPort: 8000 + n,
    connectionLimit: -1,
    defaultPoolId: null,
    insertHeaders: {},
    timeoutClientData: 50_000,
    timeoutMemberConnect: 5_000,
    timeoutMemberData: 50_000,
    timeoutTcpInspect: 0,
    ...over,
  };
}

export function pool(n: number, over: Partial<Pool> = {}): Pool {
  return {
    ...intent(uuid(2, n)),
    loadBalancerId: LB_ID,
    description: '',
    protocol: 'HTTP',
    lbAlgorithm: 'ROUND_ROBIN',
    sessionPersistence: null,
    ...over,
  };
}

export function member(n: number, poolId: string, over: Partial<Member> = {}): Member {
  return {
    ...intent(uuid(3, n)),
    loadBalancerId: LB_ID,
    poolId,
    address: '10.20.0.11',
    protocolPort: 80,
    weight: 1,
    backup: false,
    subnetId: null,
    monitorAddress: null,
    monitorPort: null,
    ...over,
  };
}

export function healthMonitor(n: number, poolId: string, over: Partial<HealthMonitor> = {}): HealthMonitor {
  return {
    ...intent(uuid(4, n)),
    loadBalancerId: LB_ID,
    poolId,
    type: 'HTTP',
    delay: 5,
    timeout: 3,
    maxRetries: 2,
    maxRetriesDown: 3,
    httpMethod: 'GET',
    urlPath: '/',
    expectedCodes: '200',
    httpVersion: null,
    domainName: null,
    ...over,
  };
}

export function tree(over: Partial<LoadBalancerTree> = {}, lb: Partial<LoadBalancerTree['loadBalancer']> = {}) {
  const whole: LoadBalancerTree = {
    loadBalancer: {
      ...intent(LB_ID),
      description: '',
      provider: 'amphora',
      flavorId: null,
      availabilityZone: null,
      apolocationGroup: null,
      topology: 'SINGLE',
      vip: { address: '10.10.0.5', subnetId: uuid(9, 1), networkId: null, portId: null },
      desiredRevision: 1,
      ...lb,
    },
    listeners: [],
    pools: [],
    members: [],
    healthMonitors: [],
    ...over,
  };
  return whole;
}

// The neutral description that comes with each example: see its field names there.
interface Example {
  readonly load_balancer: {
    readonly id: string;
    readonly project_id: string;
    readonly enabled: boolean;
    readonly topology: Topology;
    readonly vip: { readonly ip_address: string };
    readonly listeners: readonly ExampleListener[];
    readonly pools: readonly ExamplePool[];
    readonly amphorae?: readonly { readonly id: string; readonly vrrp_ip: string }[];
  };
  readonly host_amphora: string;
}
interface ExampleListener {
  readonly id: string;
  readonly protocol: Protocol;
  readonly protocol_port: number;
  readonly enabled: boolean;
  readonly default_pool?: string;
  readonly connection_limit?: number;
  readonly timeout_client_data?: number;
  readonly timeout_member_connect?: number;
  readonly timeout_member_data?: number;
  readonly timeout_tcp_inspect?: number;
  readonly insert_headers?: Record<string, string>;
}
interface ExamplePool {
  readonly id: string;
  readonly protocol: Protocol;
  readonly lb_algorithm: LbAlgorithm;
  readonly enabled: boolean;
  readonly session_persistence?: { readonly type: SessionPersistenceType; readonly cookie_name?: string };
  readonly members: readonly {
    readonly id: string;
    readonly ip_address: string;
    readonly protocol_port: number;
    readonly weight: number;
    readonly enabled: boolean;
    readonly backup: boolean;
    readonly monitor_address?: string;
    readonly monitor_port?: number;
  }[];
  readonly health_monitor?: {
    readonly id: string;
    readonly type: string;
    readonly delay: number;
    readonly timeout: number;
    readonly fall_threshold: number;
    readonly rise_threshold: number;
    readonly enabled: boolean;
    readonly http_method?: string;
    readonly url_path?: string;
    readonly expected_codes?: string;
    readonly http_version?: number;
    readonly domain_name?: string;
  };
}

export function readExample(name: string): { tree: LoadBalancerTree; amphoraId: string; peers: Peer[]; cfg: string } {
  const read = (extension: string) => readFileSync(new URL(`./fixtures/${name}.${extension}`, import.meta.url), 'utf8');
  const example: Example = JSON.parse(read('json'));
  const lb = example.load_balancer;
  return {
    tree: tree(
      {
        listeners: lb.listeners.map(listenerOf),
        pools: lb.pools.map(poolOf),
        members: lb.pools.flatMap(membersOf),
        healthMonitors: lb.pools.flatMap(monitorsOf),
      },
      {
        ...intent(lb.id),
        projectId: lb.project_id,
        adminStateUp: lb.enabled,
        topology: lb.topology,
        vip: { address: lb.vip.ip_address, subnetId: uuid(9, 1), networkId: null, portId: null },
      },
    ),
    amphoraId: example.host_amphora,
    peers: (lb.amphorae ?? []).map(({ id, vrrp_ip }) => ({ id, vrrpIp: vrrp_ip })),
    cfg: read('cfg'),
  };
}

function listenerOf(given: ExampleListener): Listener {
  return listener(0, {
    ...intent(given.id),
    protocol: given.protocol,
    protocolPort: given.protocol_port,
    adminStateUp: given.enabled,
    defaultPoolId: given.default_pool ?? null,
    connectionLimit: given.connection_limit ?? -1,
    timeoutClientData: given.timeout_client_data ?? 0,
    timeoutMemberConnect: given.timeout_member_connect ?? 0,
    timeoutMemberData: given.timeout_member_data ?? 0,
    timeoutTcpInspect: given.timeout_tcp_inspect ?? 0,
    insertHeaders: given.insert_headers ?? {},
  });
}

function poolOf(given: ExamplePool): Pool {
  const persistence = given.session_persistence;
  return pool(0, {
    ...intent(given.id),
    protocol: given.protocol,
    lbAlgorithm: given.lb_algorithm,
    adminStateUp: given.enabled,
    sessionPersistence: persistence ? { type: persistence.type, cookieName: persistence.cookie_name ?? null } : null,
  });
}

function membersOf(given: ExamplePool): Member[] {
  return given.members.map((one) =>
    member(0, given.id, {
      ...intent(one.id),
      address: one.ip_address,
      protocolPort: one.protocol_port,
      weight: one.weight,
      adminStateUp: one.enabled,
      backup: one.backup,
      monitorAddress: one.monitor_address ?? null,
      monitorPort: one.monitor_port ?? null,
    }),
  );
}

function monitorsOf({ id, health_monitor: given }: ExamplePool): HealthMonitor[] {
  if (!given) return [];
  return [
    healthMonitor(0, id, {
      ...intent(given.id),
      type: given.type.replace('-', '_') as HealthMonitorType,
      adminStateUp: given.enabled,
      delay: given.delay,
      timeout: given.timeout,
      maxRetries: given.rise_threshold,
      maxRetriesDown: given.fall_threshold,
      httpMethod: given.http_method ?? 'GET',
      urlPath: given.url_path ?? '/',
      expectedCodes: given.expected_codes ?? '200',
      httpVersion: given.http_version === undefined ? null : given.http_version === 1.1 ? '1.1' : '1.0',
      domainName: given.domain_name ?? null,
    }),
  ];
}
