import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type Deployment, NotFound } from '@octavia/domain';
import { formatIpv4, type Ipv4Range, ipv4Range, isInRange } from '../../addresses.ts';
import type { CallContext } from '../../call-context.ts';
import {
  FenceNotConfirmed,
  NetworkUnavailable,
  NoFreeAddress,
  VipAddressOutside,
  VipAddressTaken,
} from '../../errors.ts';
import { type EpochFences, FolderFences } from '../../fences/epoch-fences.ts';
import type { Leftover } from '../../leftover.ts';
import type { NamespacePlan } from '../../namespaces/plan.ts';
import { namingSystemErrors } from '../../system-errors.ts';
import type { AllocatedVip, NetworkDriver, PlugRequest, Subnet, VipPort, VipRequest } from '../network-driver.ts';
import { Holders } from './holders.ts';
import { networkLeftovers } from './leftovers.ts';
import { NamespacesPlugging } from './namespaces-plugging.ts';
import { LoopbackPlugging, type Plugging } from './plugging.ts';
import { VipAddresses } from './vip-addresses.ts';

export interface LocalNetworkOptions {
  /** Absolute; that of the local compute driver, whose marks tell which amphorae are fenced. */
  readonly dataFolder: string;
  /**
   * Subnets with their ranges for VIPs; the first is the default. In loopback mode they are of 127.0.0.0/8, as `loopbackPlan` gives one;
   * in namespaces mode the one of the plan.
   */
  readonly subnets: readonly {
    id: string;
    name: string;
    networkId: string;
    cidr: string;
    first: string;
    last: string;
  }[];
  /** Set: namespaces mode. Absent: loopback mode. */
  readonly namespaces?: NamespacePlan;
}

/** Taking a VIP away takes some ten milliseconds; who waits longer tries again. */
const LEAVING_TIMEOUT_MS = 1000;
const LOOK_EVERY_MS = 20;

/** Amphorae that may have one VIP at once. */
const MAX_HOLDERS = { SINGLE: 1, ACTIVE_STANDBY: 2 } as const;

/**
 * VIPs on this machine. In loopback mode they are addresses of 127.0.0.0/8, and in namespaces mode addresses of a network of ours, on
 * which amphorae get an interface. It is written down who has which, and a VIP goes to another amphora only when one that had it is fenced,
 * deleted, or gave it up.
 */
export class LocalNetworkDriver implements NetworkDriver {
  readonly name = 'local';
  readonly abilities: Deployment;
  readonly #subnets: readonly { readonly subnet: Subnet; readonly range: Ipv4Range }[];
  readonly #fences: EpochFences;
  readonly #addresses: VipAddresses;
  readonly #holders: Holders;
  readonly #plugging: Plugging;

  constructor({ dataFolder, subnets, namespaces }: LocalNetworkOptions) {
    this.#subnets = subnets.map(({ id, name, networkId, cidr, first, last }) => ({
      subnet: { id, name, networkId, cidr, gateway: null, vipRange: { first, last } },
      range: ipv4Range(first, last),
    }));
    this.#addresses = new VipAddresses(join(dataFolder, 'network', 'vips'));
    this.#holders = new Holders(join(dataFolder, 'network', 'holders'));
    this.#fences = new FolderFences(join(dataFolder, 'network', 'epochs'));
    this.#plugging = namespaces ? new NamespacesPlugging(dataFolder, namespaces) : new LoopbackPlugging(dataFolder);
    this.abilities = this.#plugging.abilities;
  }

  async managedSubnets(): Promise<readonly Subnet[]> {
    return this.#subnets.map(({ subnet }) => subnet);
  }

  async getSubnet(id: string): Promise<Subnet> {
    return this.#find(id).subnet;
  }

  allocateVip(request: VipRequest, context?: CallContext): Promise<AllocatedVip> {
    return this.#named(async () => {
      await this.#enter(context);
      const { loadBalancerId, subnetId, address } = request;
      const { subnet, range } = this.#find(subnetId);
      const allocated = (chosen: string) => ({
        address: chosen,
        subnetId,
        networkId: subnet.networkId,
        portId: null,
      });
      const kept = (await this.#addresses.of(loadBalancerId)).find((own) => isInRange(own, range));
      if (kept && (address === null || address === kept)) return allocated(kept);
      if (address !== null && !isInRange(address, range)) {
        throw new VipAddressOutside(address, subnetId, formatIpv4(range.first), formatIpv4(range.last));
      }
      const chosen = address ?? (await this.#addresses.takeFree(loadBalancerId, range));
      if (chosen === null) throw new NoFreeAddress(subnetId);
      await this.#plugging.checkAddress(chosen);
      if (!(await this.#addresses.take(chosen, loadBalancerId))) throw new VipAddressTaken(chosen);
      return allocated(chosen);
    });
  }

  holdings(context?: CallContext): Promise<readonly string[]> {
    return this.#named(async () => {
      await this.#enter(context);
      return [...new Set([...(await this.#addresses.owners()), ...(await this.#holders.loadBalancers())])];
    });
  }

  releaseVip(loadBalancerId: string, context?: CallContext): Promise<void> {
    return this.#named(async () => {
      await this.#enter(context);
      for (const amphoraId of await this.#holders.of(loadBalancerId)) await this.#unplug(loadBalancerId, amphoraId);
      await this.#holders.forget(loadBalancerId);
      await this.#addresses.release(loadBalancerId);
    });
  }

  plugVip(request: PlugRequest, context?: CallContext): Promise<VipPort> {
    return this.#named(async () => {
      await this.#enter(context);
      const { loadBalancerId, amphoraId, vip, topology, confirmedFences = [] } = request;
      const { subnet } = this.#find(vip.subnetId);
      const mayAnswer = async (holder: string) => {
        if (!confirmedFences.includes(holder)) return this.#plugging.mayAnswer(holder);
        await this.#plugging.cutOff(holder).catch(() => {}); // Where that cannot be, the person's word counts.
        return false;
      };
      await this.#holders.enter(loadBalancerId, amphoraId, MAX_HOLDERS[topology], mayAnswer);
      await this.#checkStays(loadBalancerId, amphoraId, context);
      const port = await this.#plugging.plug(amphoraId, vip, topology);
      return { vipAddress: vip.address, subnetCidr: subnet.cidr, gateway: null, mtu: null, hostRoutes: [], ...port };
    });
  }

  unplugVip(request: Parameters<NetworkDriver['unplugVip']>[0], context?: CallContext): Promise<void> {
    return this.#named(async () => {
      await this.#enter(context);
      await this.#unplug(request.loadBalancerId, request.amphoraId);
    });
  }

  leftovers(context?: CallContext): Promise<readonly Leftover[]> {
    return this.#named(async () => {
      context?.signal?.throwIfAborted();
      return networkLeftovers(this.#addresses, this.#holders);
    });
  }

  async removeLeftover({ kind, loadBalancerId, amphoraId }: Leftover, context?: CallContext): Promise<void> {
    if (loadBalancerId === null) return;
    if (kind === 'vip') await this.releaseVip(loadBalancerId, context);
    if (kind === 'holder' && amphoraId !== null) await this.unplugVip({ loadBalancerId, amphoraId }, context);
  }

  async close(): Promise<void> {}

  /**
   * The amphora stays a holder until it cannot answer any more. With its last VIP it may lose the interface, too: so it is written down first
   * that this VIP leaves, and looked then whether there is another. Who plugs enters first and looks then: one of the two sees the other.
   */
  async #unplug(loadBalancerId: string, amphoraId: string): Promise<void> {
    if (!(await this.#holders.of(loadBalancerId)).includes(amphoraId)) return;
    await this.#holders.setLeaving(loadBalancerId, amphoraId, true);
    const others = await this.#holders.othersAt(amphoraId, loadBalancerId);
    const isLast = others.every(({ isLeaving }) => isLeaving);
    const why = await this.#plugging.unplug(amphoraId, await this.#addresses.of(loadBalancerId), isLast);
    if (why === null) return this.#holders.leave(loadBalancerId, amphoraId);
    await this.#holders.setLeaving(loadBalancerId, amphoraId, false);
    // An amphora without another VIP is to be deleted, and until then it is in the way of the next holder.
    if (!isLast) throw new FenceNotConfirmed(amphoraId, why);
  }

  /** Waits until no other VIP is being taken from the amphora, and maybe its interface with it. @throws NetworkUnavailable */
  async #checkStays(loadBalancerId: string, amphoraId: string, context: CallContext | undefined): Promise<void> {
    const deadline = performance.now() + LEAVING_TIMEOUT_MS;
    for (;;) {
      const leaving = (await this.#holders.othersAt(amphoraId, loadBalancerId)).find(({ isLeaving }) => isLeaving);
      if (!leaving) return;
      if (performance.now() > deadline) {
        throw new NetworkUnavailable(
          `The VIP of load balancer ${leaving.loadBalancerId} is just being taken from amphora ${amphoraId}; try again.`,
          { amphoraId, loadBalancerId: leaving.loadBalancerId },
        );
      }
      await delay(LOOK_EVERY_MS, undefined, { signal: context?.signal });
    }
  }

  #named<T>(work: () => Promise<T>): Promise<T> {
    return namingSystemErrors((...error) => new NetworkUnavailable(...error), work);
  }

  async #enter(context: CallContext | undefined): Promise<void> {
    context?.signal?.throwIfAborted();
    await this.#fences.admit(context);
  }

  #find(id: string) {
    const found = this.#subnets.find(({ subnet }) => subnet.id === id);
    if (!found) throw new NotFound('subnet', id);
    return found;
  }
}
