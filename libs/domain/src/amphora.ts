import type { Topology } from './objects.ts';
import type { AmphoraStatus, Fault } from './status.ts';

export type AmphoraRole = 'STANDALONE' | 'MASTER' | 'BACKUP';

/** The roles that a load balancer's amphorae have: one of each. Source: Octavia's amphora roles. */
export const ROLES: Readonly<Record<Topology, readonly AmphoraRole[]>> = {
  SINGLE: ['STANDALONE'],
  ACTIVE_STANDBY: ['MASTER', 'BACKUP'],
};

/**
 * What an amphora said of itself when it booted. A configuration is rendered from these, so that a rendering is a
 * function of the database. Fields that a foreign agent does not tell have Octavia's defaults.
 */
export interface AmphoraFacts {
  /** Distribution package version, such as `2.6.12-1+deb12u3`. */
  readonly haproxyVersion: string;
  readonly keepalivedVersion: string | null;
  readonly apiVersion: string;
  /** Null when the agent does not tell. */
  readonly cpuCount: number | null;
  readonly activeTunedProfiles: readonly string[];
  /** kB; null when the agent does not tell. */
  readonly memory: { readonly free: number; readonly buffers: number; readonly cached: number } | null;
  readonly platform: AmphoraPlatform;
}

/** Where files are and what the processes may do, in the amphora. */
export interface AmphoraPlatform {
  /** Folder of configurations, absolute. Octavia: /var/lib/octavia. */
  readonly basePath: string;
  /** Folder of the statistics sockets, absolute and short: a socket path has at most 107 bytes. */
  readonly socketPath: string;
  /** User that HAProxy becomes; null when it may not change its user. Octavia: nobody. */
  readonly user: string | null;
  /** Unix socket that HAProxy logs to; null: it does not log. Octavia: /run/rsyslog/octavia/log. */
  readonly logSocket: string | null;
  /** True: addresses are shared with other amphorae of the host, so a second bind must fail instead of sharing the port. */
  readonly exclusiveBind: boolean;
  /** False: limits on file descriptors below what `maxconn` wants do not stop HAProxy. */
  readonly strictLimits: boolean;
  /** True: the agent runs keepalived in our fast form (VRRP version 3, takeover within half a second). Octavia's does not. */
  readonly fastVrrp: boolean;
}

export const OCTAVIA_PLATFORM: AmphoraPlatform = {
  basePath: '/var/lib/octavia',
  socketPath: '/var/lib/octavia',
  user: 'nobody',
  logSocket: '/run/rsyslog/octavia/log',
  exclusiveBind: false,
  strictLimits: true,
  fastVrrp: false,
};

/** What makes one spare as good as another: a request takes a spare only of its own class, whatever its topology. */
export interface AmphoraClass {
  readonly computeFlavor: string;
  readonly imageTag: string;
  readonly zone: string;
  /** What its agent was told. A spare that was told another is told anew when it is taken. */
  readonly topology: Topology;
}

/** Where the amphora of a load balancer came from: a spare that was ready, built for it, or one that serves others already. */
export type AmphoraOrigin = 'SPARE' | 'NEW' | 'COLOCATED';

/** Which amphora a load balancer was given, and why that one. */
export interface AmphoraChoice {
  readonly origin: AmphoraOrigin;
  /** For people, such as `no ready spare of class …`. */
  readonly reason: string;
}

/** For people: flavor, image and zone of a class, the deployment's default as such. Any spare of them can be told its topology. */
export function describeClass({ computeFlavor, imageTag, zone }: Omit<AmphoraClass, 'topology'>): string {
  const named = (what: string, value: string): string => `${what} ${value === '' ? '(default)' : value}`;
  return `${named('compute flavor', computeFlavor)}, ${named('image', imageTag)}, ${named('zone', zone)}`;
}

/** What serves on an amphora, or did. TAKEN: it is to serve. LEAVING: it makes room, and may still answer. LEFT: it is gone. */
export type SeatState = 'TAKEN' | 'LEAVING' | 'LEFT';

/** The place of one load balancer on an amphora. Most amphorae have one; colocation gives them more. */
export interface Seat {
  readonly loadBalancerId: string;
  readonly state: SeatState;
  readonly role: AmphoraRole;
  readonly vrrpIp: string | null;
  /** The VIP that it has or may have: written before it is plugged, and never taken back. Null: it cannot answer for any. */
  readonly haIp: string | null;
  readonly vrrpPortId: string | null;
  /** Name of the interface in the amphora that has `vrrpIp`. Null: not of a pair, or not known yet. */
  readonly vrrpInterface: string | null;
  /** Revision of its load balancer that it serves; 0: none yet. */
  readonly appliedRevision: number;
  /** Why its load balancer has this amphora; null: of a release that did not note it. */
  readonly choice: AmphoraChoice | null;
  /** Why this load balancer is to leave the amphora, which may be well otherwise. */
  readonly fault: Fault | null;
}

/** The appliance itself, whoever it serves. */
export interface Machine {
  /** UUID version 7. */
  readonly id: string;
  readonly status: AmphoraStatus;
  readonly class: AmphoraClass;
  /** Name of the compute driver that made it. */
  readonly computeDriver: string;
  /** The compute service's id. Null until it is built. */
  readonly computeId: string | null;
  /** Which local compute host has it; null where the compute service is not local. */
  readonly computeHost: string | null;
  readonly imageId: string | null;
  readonly lbNetworkIp: string | null;
  readonly agentPort: number;
  readonly facts: AmphoraFacts | null;
  readonly certExpiresAt: Date | null;
  /** Load balancers that it serves at most. */
  readonly seatLimit: number;
  /** Why it is in ERROR, or was replaced. */
  readonly fault: Fault | null;
  readonly createdAt: Date;
  readonly updatedAt: Date | null;
}

/** An amphora with all that serves on it. */
export interface Amphora extends Machine {
  /** Of an amphora that is not DELETED those that have not LEFT, by load balancer. A spare has none. */
  readonly seats: readonly Seat[];
}

/** An amphora as one of its load balancers sees it. While that is LEAVING, the status is PENDING_DELETE. */
export interface SeatedAmphora extends Machine, Omit<Seat, 'state' | 'fault'> {
  /** Whether another load balancer had a seat, too, when this was read. It may have changed since. */
  readonly isShared: boolean;
}
