import type { CallContext } from '../call-context.ts';

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

/** What an amphora has to know to carry a VIP; body of the agent's plug call. */
export interface VipPort {
  readonly vipAddress: string;
  readonly subnetCidr: string;
  readonly gateway: string | null;
  /** Lower case. In loopback mode, where nothing is plugged: 00:00:00:00:00:00. */
  readonly macAddress: string;
  readonly vrrpIp: string;
  readonly vrrpPortId: string | null;
  readonly mtu: number | null;
  readonly hostRoutes: readonly { readonly destination: string; readonly nexthop: string }[];
}

/** Addresses for load balancers. Every method may be repeated without further effect. Any may throw NetworkUnavailable and StaleFence. */
export interface NetworkDriver {
  readonly name: string;
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
   * Makes the VIP reachable at the instance. Its old holder must be fenced; a driver that can see that it is not refuses.
   * @throws FenceNotConfirmed
   */
  plugVip(
    request: {
      readonly loadBalancerId: string;
      readonly amphoraId: string;
      readonly computeId: string;
      readonly vip: AllocatedVip;
    },
    context?: CallContext,
  ): Promise<VipPort>;
  /** Takes the VIP from the instance. Succeeds if it has none. */
  unplugVip(
    request: { readonly loadBalancerId: string; readonly amphoraId: string },
    context?: CallContext,
  ): Promise<void>;
  close(): Promise<void>;
}
