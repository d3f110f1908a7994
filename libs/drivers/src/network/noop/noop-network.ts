import { type Deployment, NotFound } from '@octavia/domain';
import { formatIpv4, type Ipv4Range, ipv4Range, isInRange, parseIpv4 } from '../../addresses.ts';
import type { CallContext } from '../../call-context.ts';
import {
  FenceNotConfirmed,
  NetworkUnavailable,
  NoFreeAddress,
  VipAddressOutside,
  VipAddressTaken,
} from '../../errors.ts';
import type { Leftover } from '../../leftover.ts';
import { NoopControl } from '../../noop/noop-control.ts';
import { type NoopOptions, type NoopWorld, openNoopWorld } from '../../noop/noop-world.ts';
import type { AllocatedVip, NetworkDriver, PlugRequest, Subnet, VipPort, VipRequest } from '../network-driver.ts';

export interface NoopNetworkOptions extends NoopOptions {
  /** The first is the default. */
  readonly subnets?: readonly Subnet[];
  /** First and last of the addresses that the amphorae of pairs have for themselves; in no subnet's range for VIPs. */
  readonly vrrpRange?: { readonly first: string; readonly last: string };
  /**
   * Whether an amphora is isolated. Absent: with a folder, what the noop compute driver of the same folder wrote there; else nobody
   * knows, and no holder of a VIP is in the way of another.
   */
  readonly isFenced?: (amphoraId: string) => Promise<boolean>;
}

/** 130,000 addresses that are set aside for tests of networks and never routed: half for VIPs. Source: RFC 2544. */
export const NOOP_SUBNET: Subnet = {
  id: '5b1a3b54-5c7e-5a53-8f0e-6d0f6e6f6f70',
  name: 'noop',
  networkId: '0c8b6bb8-41cb-5e3a-9d5c-6e65746e6f70',
  cidr: '198.18.0.0/15',
  gateway: '198.18.0.1',
  vipRange: { first: '198.18.0.2', last: '198.18.255.254' },
};
const NOOP_VRRP_RANGE = { first: '198.19.0.1', last: '198.19.255.254' };

/** How many amphorae may have a VIP at once. */
const HOLDERS = { SINGLE: 1, ACTIVE_STANDBY: 2 } as const;

/** What is kept of an amphora that has a VIP. */
interface Port {
  readonly address: string;
  readonly vrrpIp: string;
}

/** Network in memory, or in a shared folder: who has which address is written down, and nothing is reachable. */
export class NoopNetworkDriver implements NetworkDriver {
  readonly name = 'noop';
  readonly abilities: Deployment = {
    topologies: ['SINGLE', 'ACTIVE_STANDBY'],
    reachesLoopback: true,
    hostAddress: null,
  };
  readonly control: NoopControl;
  readonly #world: NoopWorld;
  readonly #subnets: readonly Subnet[];
  readonly #vrrpRange: Ipv4Range;
  readonly #isFenced: ((amphoraId: string) => Promise<boolean>) | null;
  /** Addresses are given out one after the other. */
  #giving: Promise<unknown> = Promise.resolve();

  constructor(options: NoopNetworkOptions = {}) {
    this.#world = openNoopWorld('network', options);
    this.#subnets = options.subnets ?? [NOOP_SUBNET];
    const { first, last } = options.vrrpRange ?? NOOP_VRRP_RANGE;
    this.#vrrpRange = ipv4Range(first, last);
    this.#isFenced = options.isFenced ?? fencesOf(options);
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
    return this.control.run('releaseVip', [loadBalancerId], context, () => this.#release(loadBalancerId));
  }

  plugVip(request: PlugRequest, context?: CallContext): Promise<VipPort> {
    return this.control.run('plugVip', [request], context, async () => {
      const { loadBalancerId, amphoraId, vip, topology } = request;
      const subnet = this.#subnet(vip.subnetId);
      await this.#checkHolders(request);
      const kept = await this.#world.store.get<Port>(bucketOf(loadBalancerId), `${loadBalancerId} ${amphoraId}`);
      const vrrpIp =
        kept?.vrrpIp ?? (topology === 'SINGLE' ? vip.address : await this.#takeVrrpIp(amphoraId, vip.subnetId));
      const port: Port = { address: vip.address, vrrpIp };
      await this.#world.store.put(bucketOf(loadBalancerId), `${loadBalancerId} ${amphoraId}`, port);
      return {
        vipAddress: vip.address,
        subnetCidr: subnet.cidr,
        gateway: subnet.gateway,
        macAddress: macOf(amphoraId),
        vrrpIp,
        vrrpPortId: null,
        mtu: null,
        hostRoutes: [],
      };
    });
  }

  unplugVip(request: Parameters<NetworkDriver['unplugVip']>[0], context?: CallContext): Promise<void> {
    return this.control.run('unplugVip', [request], context, () =>
      this.#unplug(request.loadBalancerId, request.amphoraId),
    );
  }

  leftovers(context?: CallContext): Promise<readonly Leftover[]> {
    return this.control.run('leftovers', [], context, async () => {
      const vips = await this.#world.store.keys('vips');
      const found: Leftover[] = vips.map((id) => ({
        kind: 'vip',
        name: id,
        amphoraId: null,
        loadBalancerId: id,
        ageMs: null,
      }));
      for (const key of await this.#portKeys()) {
        const [loadBalancerId = null, amphoraId = null] = key.split(' ');
        found.push({ kind: 'port', name: key, amphoraId, loadBalancerId, ageMs: null });
      }
      return found;
    });
  }

  removeLeftover(leftover: Leftover, context?: CallContext): Promise<void> {
    return this.control.run('removeLeftover', [leftover], context, async () => {
      const { kind, loadBalancerId, amphoraId } = leftover;
      if (kind === 'vip' && loadBalancerId) await this.#release(loadBalancerId);
      if (kind === 'port' && loadBalancerId && amphoraId) await this.#unplug(loadBalancerId, amphoraId);
    });
  }

  /** For tests: what carries the VIP of a load balancer, as amphora ids. */
  async holders(loadBalancerId: string): Promise<readonly string[]> {
    const keys = await this.#world.store.keys(bucketOf(loadBalancerId));
    return keys
      .filter((key) => key.startsWith(`${loadBalancerId} `))
      .map((key) => key.slice(loadBalancerId.length + 1));
  }

  async close(): Promise<void> {}

  /** @throws FenceNotConfirmed when others have the VIP already, as many as may */
  async #checkHolders({ loadBalancerId, amphoraId, vip, topology, confirmedFences = [] }: PlugRequest): Promise<void> {
    if (!this.#isFenced) return;
    const others: string[] = [];
    for (const holder of await this.holders(loadBalancerId)) {
      if (holder === amphoraId || confirmedFences.includes(holder)) continue;
      if (!(await this.#isFenced(holder))) others.push(holder);
    }
    if (others.length < HOLDERS[topology]) return;
    throw new FenceNotConfirmed(others.join(', '), `VIP ${vip.address} is there, and it was not fenced`);
  }

  async #release(loadBalancerId: string): Promise<void> {
    const kept = await this.#world.store.get<AllocatedVip>('vips', loadBalancerId);
    if (!kept) return;
    for (const amphoraId of await this.holders(loadBalancerId)) await this.#unplug(loadBalancerId, amphoraId);
    await this.#world.store.delete('addresses', kept.address);
    await this.#world.store.delete('vips', loadBalancerId);
  }

  async #portKeys(): Promise<string[]> {
    const keys: string[] = [];
    for (const bucket of BUCKETS) keys.push(...(await this.#world.store.keys(bucket)));
    return keys;
  }

  async #unplug(loadBalancerId: string, amphoraId: string): Promise<void> {
    const bucket = bucketOf(loadBalancerId);
    const kept = await this.#world.store.get<Port>(bucket, `${loadBalancerId} ${amphoraId}`);
    if (!kept) return;
    if (kept.vrrpIp !== kept.address) await this.#world.store.delete('addresses', kept.vrrpIp);
    await this.#world.store.delete(bucket, `${loadBalancerId} ${amphoraId}`);
  }

  /** The search begins where the amphora's id says, so that workers without a common memory hardly ever give one address twice. */
  #takeVrrpIp(amphoraId: string, subnetId: string): Promise<string> {
    const { first, last } = this.#vrrpRange;
    const size = last - first + 1;
    const start = Number.parseInt(amphoraId.slice(-8), 16) % size;
    const taking = this.#giving.then(async () => {
      for (let tried = 0; tried < size; tried++) {
        const address = formatIpv4(first + ((start + tried) % size));
        const owner = await this.#world.store.get<string>('addresses', address);
        if (owner !== null && owner !== amphoraId) continue;
        await this.#world.store.put('addresses', address, amphoraId);
        return address;
      }
      throw new NoFreeAddress(subnetId);
    });
    this.#giving = taking.catch(() => {});
    return taking;
  }

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

/** What the noop compute driver of the same folder says; null where there is none. */
function fencesOf({ folder }: NoopOptions): ((amphoraId: string) => Promise<boolean>) | null {
  if (!folder) return null;
  const { store } = openNoopWorld('compute', { folder });
  return async (amphoraId) => (await store.get('gone', amphoraId)) !== null;
}

/** Ports are kept in 256 buckets, so that those of one load balancer are found among few. */
function bucketOf(loadBalancerId: string): string {
  return `ports-${loadBalancerId.slice(-2)}`;
}
const BUCKETS = Array.from({ length: 256 }, (_, number) => bucketOf(number.toString(16).padStart(2, '0')));

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
