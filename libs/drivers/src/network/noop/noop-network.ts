import { NotFound } from '@octavia/domain';
import { formatIpv4, ipv4Range, isInRange, parseIpv4 } from '../../addresses.ts';
import type { CallContext } from '../../call-context.ts';
import { NetworkUnavailable, NoFreeAddress, VipAddressOutside, VipAddressTaken } from '../../errors.ts';
import { NoopControl } from '../../noop/noop-control.ts';
import { type NoopOptions, type NoopWorld, openNoopWorld } from '../../noop/noop-world.ts';
import type { AllocatedVip, NetworkDriver, Subnet, VipPort, VipRequest } from '../network-driver.ts';

export interface NoopNetworkOptions extends NoopOptions {
  /** The first is the default. */
  readonly subnets?: readonly Subnet[];
}

/** 130,000 addresses that are set aside for tests of networks and never routed. Source: RFC 2544. */
export const NOOP_SUBNET: Subnet = {
  id: '5b1a3b54-5c7e-5a53-8f0e-6d0f6e6f6f70',
  name: 'noop',
  networkId: '0c8b6bb8-41cb-5e3a-9d5c-6e65746e6f70',
  cidr: '198.18.0.0/15',
  gateway: '198.18.0.1',
  vipRange: { first: '198.18.0.2', last: '198.19.255.254' },
};

/** Network in memory, or in a shared folder: who has which address is written down, and nothing is reachable. */
export class NoopNetworkDriver implements NetworkDriver {
  readonly name = 'noop';
  readonly control: NoopControl;
  readonly #world: NoopWorld;
  readonly #subnets: readonly Subnet[];

  constructor(options: NoopNetworkOptions = {}) {
    this.#world = openNoopWorld('network', options);
    this.#subnets = options.subnets ?? [NOOP_SUBNET];
    this.control = new NoopControl({
      driver: 'noop network',
      fences: this.#world.fences,
      unavailable: (message) => new NetworkUnavailable(message),
      ...options,
    });
  }

  managedSubnets(): Promise<readonly Subnet[]> {
    return this.control.run('managedSubnets', [], undefined, async () => this.#subnets);
  }

  getSubnet(id: string, context?: CallContext): Promise<Subnet> {
    return this.control.run('getSubnet', [id], context, async () => this.#subnet(id));
  }

  allocateVip(request: VipRequest, context?: CallContext): Promise<AllocatedVip> {
    return this.control.run('allocateVip', [request], context, async () => {
      const { loadBalancerId, subnetId } = request;
      const kept = await this.#world.store.get<AllocatedVip>('vips', loadBalancerId);
      if (kept) return kept;
      const subnet = this.#subnet(subnetId);
      const address = request.address ?? (await this.#freeAddress(subnet));
      checkInRange(address, subnet);
      const holder = await this.#world.store.get<string>('addresses', address);
      if (holder !== null && holder !== loadBalancerId) throw new VipAddressTaken(address);
      const vip = { address, subnetId, networkId: subnet.networkId, portId: null };
      await this.#world.store.put('addresses', address, loadBalancerId);
      await this.#world.store.put('vips', loadBalancerId, vip);
      return vip;
    });
  }

  holdings(context?: CallContext): Promise<readonly string[]> {
    return this.control.run('holdings', [], context, () => this.#world.store.keys('vips'));
  }

  releaseVip(loadBalancerId: string, context?: CallContext): Promise<void> {
    return this.control.run('releaseVip', [loadBalancerId], context, async () => {
      const kept = await this.#world.store.get<AllocatedVip>('vips', loadBalancerId);
      if (!kept) return;
      await this.#world.store.delete('addresses', kept.address);
      await this.#world.store.delete('vips', loadBalancerId);
    });
  }

  plugVip(request: Parameters<NetworkDriver['plugVip']>[0], context?: CallContext): Promise<VipPort> {
    return this.control.run('plugVip', [request], context, async () => {
      const { loadBalancerId, amphoraId, vip } = request;
      const subnet = this.#subnet(vip.subnetId);
      await this.#world.store.put('ports', `${loadBalancerId} ${amphoraId}`, vip.address);
      return {
        vipAddress: vip.address,
        subnetCidr: subnet.cidr,
        gateway: subnet.gateway,
        macAddress: macOf(amphoraId),
        vrrpIp: vip.address,
        vrrpPortId: null,
        mtu: null,
        hostRoutes: [],
      };
    });
  }

  unplugVip(request: Parameters<NetworkDriver['unplugVip']>[0], context?: CallContext): Promise<void> {
    return this.control.run('unplugVip', [request], context, () =>
      this.#world.store.delete('ports', `${request.loadBalancerId} ${request.amphoraId}`),
    );
  }

  /** For tests: what carries the VIP of a load balancer, as amphora ids. */
  async holders(loadBalancerId: string): Promise<readonly string[]> {
    const keys = await this.#world.store.keys('ports');
    return keys
      .filter((key) => key.startsWith(`${loadBalancerId} `))
      .map((key) => key.slice(loadBalancerId.length + 1));
  }

  async close(): Promise<void> {}

  #subnet(id: string): Subnet {
    const subnet = this.#subnets.find((known) => known.id === id);
    if (!subnet) throw new NotFound('subnet', id);
    return subnet;
  }

  async #freeAddress({ id, vipRange }: Subnet): Promise<string> {
    if (!vipRange) throw new NoFreeAddress(id);
    const range = ipv4Range(vipRange.first, vipRange.last);
    const taken = new Set<number | null>();
    for (const address of await this.#world.store.keys('addresses')) {
      if (isInRange(address, range)) taken.add(parseIpv4(address));
    }
    for (let address = range.first; address <= range.last; address++) {
      if (!taken.has(address)) return formatIpv4(address);
    }
    throw new NoFreeAddress(id);
  }
}

function checkInRange(address: string, { id, vipRange }: Subnet): void {
  if (!vipRange || isInRange(address, ipv4Range(vipRange.first, vipRange.last))) return;
  throw new VipAddressOutside(address, id, vipRange.first, vipRange.last);
}

/** A unicast address that is ours to give (second bit of the first byte), from the end of the amphora's id. */
function macOf(amphoraId: string): string {
  return `02:${amphoraId
    .replaceAll('-', '')
    .slice(-10)
    .replace(/(..)(?!$)/g, '$1:')}`;
}
