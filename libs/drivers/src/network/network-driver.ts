import type { Deployment, Topology } from '@octavia/domain';
import type { CallContext } from '../call-context.ts';
import type { LeavesThings } from '../leftover.ts';

export interface Subnet {
  readonly id: string;
  readonly name: string;
  readonly networkId: string;
  /** Such as 127.84.16.0/21. */
  readonly cidr: string;
  readonly gateway: string | null;
  /** Addresses that VIPs may have, both included. Null: the network service allocates them, not our database. */
  readonly vipRange: { readonly first: string; readonly last: string } | null;
}

export interface VipRequest {
  readonly loadBalancerId: string;
  readonly subnetId: string;
  /** Null: any free one. */
  readonly address: string | null;
}

export interface AllocatedVip {
  readonly address: string;
  readonly subnetId: string;
  readonly networkId: string;
  /** Null where the network has no ports. */
  readonly portId: string | null;
}

export interface PlugRequest {
  readonly loadBalancerId: string;
  readonly amphoraId: string;
  readonly computeId: string;
  readonly vip: AllocatedVip;
  /** SINGLE: one amphora has the VIP. ACTIVE_STANDBY: two have, and decide between them which one answers for it. */
  readonly topology: Topology;
  /** Amphorae of which a person has made sure that they are isolated: they are in nobody's way, whatever the driver sees. */
  readonly confirmedFences?: readonly string[];
}

/** What an amphora has to know to carry a VIP; body of the agent's plug call. */
export interface VipPort {
  readonly vipAddress: string;
  readonly subnetCidr: string;
  readonly gateway: string | null;
  /** Lower case. In loopback mode, where nothing is plugged: 00:00:00:00:00:00. */
  readonly macAddress: string;
  /** The amphora's own address in the VIP's subnet. In SINGLE without ports: the VIP. */
  readonly vrrpIp: string;
  readonly vrrpPortId: string | null;
  readonly mtu: number | null;
  readonly hostRoutes: readonly { readonly destination: string; readonly nexthop: string }[];
}

/** Addresses for load balancers. Every method may be repeated without further effect. Any may throw NetworkUnavailable and StaleFence. */
export interface NetworkDriver extends LeavesThings {
  readonly name: string;
  /** What can be asked of it; the same for its whole life. */
  readonly abilities: Deployment;
  /** Subnets whose addresses our database manages; the first is the default. Empty where the network service does all. */
  managedSubnets(): Promise<readonly Subnet[]>;
  /** @throws NotFound */
  getSubnet(id: string, context?: CallContext): Promise<Subnet>;
  /**
   * Reserves the address that clients connect to, or finds what an earlier call reserved. Where `vipRange` is set our database has
   * chosen the address, and the driver makes sure that it can be had.
   * @throws VipAddressTaken, VipAddressOutside, NoFreeAddress, NotFound
   */
  allocateVip(request: VipRequest, context?: CallContext): Promise<AllocatedVip>;
  /** Ids of the load balancers that have an address or a holder here, to find those that the database does not know. */
  holdings(context?: CallContext): Promise<readonly string[]>;
  /** Gives the address back. Succeeds if there is none. */
  releaseVip(loadBalancerId: string, context?: CallContext): Promise<void>;
  /**
   * Makes the VIP reachable at the instance. In SINGLE its old holder must be fenced. Of a pair two amphorae have it, each with a
   * `vrrpIp` of its own that is never the VIP and stays the same however often it is asked for; a third is refused until one of
   * them is fenced or unplugged. A driver that can see that this is not so refuses.
   * @throws FenceNotConfirmed, NoFreeAddress, UnsupportedByProvider for a topology that is not among `abilities`
   */
  plugVip(request: PlugRequest, context?: CallContext): Promise<VipPort>;
  /**
   * Takes the VIP from the instance, and gives its own address back when it has no other VIP. Succeeds if it has none. An instance may have
   * the VIPs of several load balancers: the others stay as they are. From one that lives and goes on with others a VIP is taken when its
   * agent has ended what serves it; a driver that can see that this is not so refuses. @throws FenceNotConfirmed
   */
  unplugVip(
    request: { readonly loadBalancerId: string; readonly amphoraId: string },
    context?: CallContext,
  ): Promise<void>;
  close(): Promise<void>;
}
