/**
 * The objects that a caller asks for. All of them carry who asked, in which request, and the revision of the load
 * balancer in which they last changed. Operating statuses live apart: they are the data plane's, not intent.
 */
import type { Placement } from './offers.ts';
import type { Fault, ProvisioningStatus } from './status.ts';

export type Topology = 'SINGLE' | 'ACTIVE_STANDBY';
export type Protocol =
  | 'HTTP'
  | 'TCP'
  | 'HTTPS'
  | 'TERMINATED_HTTPS'
  | 'PROXY'
  | 'PROXYV2'
  | 'UDP'
  | 'SCTP'
  | 'PROMETHEUS';
export type LbAlgorithm = 'ROUND_ROBIN' | 'LEAST_CONNECTIONS' | 'SOURCE_IP' | 'SOURCE_IP_PORT';
export type SessionPersistenceType = 'SOURCE_IP' | 'HTTP_COOKIE' | 'APP_COOKIE';
export type HealthMonitorType = 'HTTP' | 'HTTPS' | 'TCP' | 'TLS_HELLO' | 'PING' | 'UDP_CONNECT' | 'SCTP';

/** What every object that a caller asks for has. */
export interface Intent {
  /** UUID version 7. */
  readonly id: string;
  readonly projectId: string;
  /** User id of the caller who made the last change. */
  readonly author: string;
  /** Request id of that change. */
  readonly requestId: string;
  readonly name: string;
  readonly adminStateUp: boolean;
  readonly tags: readonly string[];
  readonly provisioningStatus: ProvisioningStatus;
  /** Set while `provisioningStatus` is ERROR. */
  readonly fault: Fault | null;
  /** Number, within the load balancer, of the last change of this object that a caller made; from 1. The etag comes from it. */
  readonly revision: number;
  /** Newest `revision` of this object that the data plane serves; 0 while it never did. */
  readonly appliedRevision: number;
  readonly createdAt: Date;
  /** Null until the first change. */
  readonly updatedAt: Date | null;
}

export interface Vip {
  /** Null until it is known: a tenant's own subnet is asked by the first step of the create flow. */
  readonly address: string | null;
  readonly subnetId: string;
  readonly networkId: string | null;
  readonly portId: string | null;
}

export interface LoadBalancer extends Intent {
  readonly description: string;
  readonly provider: 'amphora';
  readonly flavorId: string | null;
  readonly availabilityZone: string | null;
  readonly topology: Topology;
  /** What its flavor and zone say of its amphorae; absent or null: nothing, so the deployment's defaults count. */
  readonly placement?: Placement | null;
  /**
   * Load balancers of one project with the same group never share an amphora, and wish for amphorae on different compute hosts.
   * 1 to 64 characters; null: of no group.
   */
  readonly apolocationGroup: string | null;
  readonly vip: Vip;
  /** Number of the newest change of the load balancer or anything below it. `revision` is that of the load balancer itself. */
  readonly desiredRevision: number;
}

export interface Listener extends Intent {
  readonly loadBalancerId: string;
  readonly description: string;
  readonly protocol: Protocol;
  readonly protocolPort: number;
  /** Connections at once, or -1 for the deployment's limit. */
  readonly connectionLimit: number;
  readonly defaultPoolId: string | null;
  /** Header name to "true" or "false". */
  readonly insertHeaders: Readonly<Record<string, string>>;
  /** The four timeouts are in milliseconds, 0 to 2073600000. */
  readonly timeoutClientData: number;
  readonly timeoutMemberConnect: number;
  readonly timeoutMemberData: number;
  readonly timeoutTcpInspect: number;
}

export interface SessionPersistence {
  readonly type: SessionPersistenceType;
  /** Only for APP_COOKIE. */
  readonly cookieName: string | null;
}

export interface Pool extends Intent {
  readonly loadBalancerId: string;
  readonly description: string;
  readonly protocol: Protocol;
  readonly lbAlgorithm: LbAlgorithm;
  readonly sessionPersistence: SessionPersistence | null;
}

export interface Member extends Intent {
  readonly loadBalancerId: string;
  readonly poolId: string;
  /** IPv4 or IPv6, in canonical form. */
  readonly address: string;
  readonly protocolPort: number;
  /** 0 to 256. */
  readonly weight: number;
  readonly backup: boolean;
  readonly subnetId: string | null;
  readonly monitorAddress: string | null;
  readonly monitorPort: number | null;
}

export interface HealthMonitor extends Intent {
  readonly loadBalancerId: string;
  readonly poolId: string;
  readonly type: HealthMonitorType;
  /** Seconds. */
  readonly delay: number;
  /** Seconds. */
  readonly timeout: number;
  readonly maxRetries: number;
  readonly maxRetriesDown: number;
  readonly httpMethod: string;
  readonly urlPath: string;
  readonly expectedCodes: string;
  readonly httpVersion: '1.0' | '1.1' | null;
  readonly domainName: string | null;
}

/** A load balancer with everything below it, each list by creation time and id. */
export interface LoadBalancerTree {
  readonly loadBalancer: LoadBalancer;
  readonly listeners: readonly Listener[];
  readonly pools: readonly Pool[];
  readonly members: readonly Member[];
  readonly healthMonitors: readonly HealthMonitor[];
}

/** The kinds of objects below and including a load balancer; also the names of their tables. */
export const OBJECT_KINDS = ['load_balancer', 'listener', 'pool', 'member', 'health_monitor'] as const;
export type ObjectKind = (typeof OBJECT_KINDS)[number];

/** The domain type of each kind. */
export interface ObjectOf {
  readonly load_balancer: LoadBalancer;
  readonly listener: Listener;
  readonly pool: Pool;
  readonly member: Member;
  readonly health_monitor: HealthMonitor;
}

/** What a person calls an object of this kind. */
export function nounOf(kind: ObjectKind): string {
  return kind.replaceAll('_', ' ');
}
