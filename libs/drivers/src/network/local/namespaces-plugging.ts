import { join } from 'node:path';
import type { Deployment, Topology } from '@octavia/domain';
import { type Ipv4Range, ipv4Range } from '../../addresses.ts';
import { NetworkUnavailable, NoFreeAddress, PlugFailed } from '../../errors.ts';
import {
  isNamespace,
  pluggedPairs,
  plugPair,
  removeVipAddress,
  unplugPairs,
} from '../../namespaces/amphora-network.ts';
import { IpError } from '../../namespaces/ip.ts';
import { amphoraNames, type NamespacePlan, pairNames } from '../../namespaces/plan.ts';
import type { AllocatedVip } from '../network-driver.ts';
import { type PluggedPort, type Plugging, traceOf } from './plugging.ts';
import { VipAddresses } from './vip-addresses.ts';

/** Addresses that amphorae of pairs have for themselves, in a data folder; the compute driver gives back those of deleted ones. */
export function ownAddresses(dataFolder: string): VipAddresses {
  return new VipAddresses(join(dataFolder, 'network', 'own'));
}

/** Amphorae on the bridge of the VIP's network: each has one interface there, which carries all VIPs that it has. */
export class NamespacesPlugging implements Plugging {
  readonly abilities: Deployment;
  readonly #plan: NamespacePlan;
  readonly #dataFolder: string;
  readonly #own: VipAddresses;
  readonly #ownRange: Ipv4Range;

  constructor(dataFolder: string, plan: NamespacePlan) {
    this.#plan = plan;
    this.#dataFolder = dataFolder;
    this.#own = ownAddresses(dataFolder);
    this.#ownRange = ipv4Range(plan.vip.ownFirst, plan.vip.ownLast);
    this.abilities = {
      topologies: ['SINGLE', 'ACTIVE_STANDBY'],
      reachesLoopback: false,
      hostAddress: plan.vip.hostAddress,
    };
  }

  async checkAddress(): Promise<void> {} // The whole network is ours.

  /** Only one that is marked, or deleted, and has no interface on that network cannot: a kernel answers ARP also for the dead. */
  async mayAnswer(amphoraId: string): Promise<boolean> {
    const { isFenced, isThere } = await traceOf(this.#dataFolder, amphoraId);
    if (!isFenced && isThere) return true;
    return (await this.#named(() => pluggedPairs(this.#plan, amphoraId, ['vip']))).length > 0;
  }

  cutOff(amphoraId: string): Promise<void> {
    return this.#named(() => unplugPairs(this.#plan, amphoraId, ['vip']));
  }

  plug(amphoraId: string, vip: AllocatedVip, topology: Topology): Promise<PluggedPort> {
    return this.#named(async () => {
      const { mac } = pairNames(this.#plan, amphoraId, 'vip');
      await this.#checkFenced(amphoraId);
      if (!(await isNamespace(amphoraNames(this.#plan, amphoraId)))) {
        throw new PlugFailed(`Amphora ${amphoraId} has no network namespace on this machine.`, { amphoraId });
      }
      const vrrpIp = topology === 'SINGLE' ? vip.address : await this.#ownAddress(amphoraId, vip.subnetId);
      await plugPair(this.#plan, amphoraId, 'vip');
      // A fence that came meanwhile has looked for the interface before it was there.
      await this.#checkFenced(amphoraId).catch(async (error) => {
        await unplugPairs(this.#plan, amphoraId, ['vip']);
        throw error;
      });
      return { macAddress: mac, vrrpIp, vrrpPortId: null };
    });
  }

  unplug(amphoraId: string, addresses: readonly string[], isLast: boolean): Promise<null> {
    return this.#named(async () => {
      if (isLast) {
        await unplugPairs(this.#plan, amphoraId, ['vip']);
        await this.#own.release(amphoraId);
        return null;
      }
      for (const address of addresses) await removeVipAddress(this.#plan, amphoraId, address);
      return null;
    });
  }

  async #checkFenced(amphoraId: string): Promise<void> {
    const { isFenced } = await traceOf(this.#dataFolder, amphoraId);
    if (isFenced) throw new PlugFailed(`Amphora ${amphoraId} was fenced and gets no VIP any more.`, { amphoraId });
  }

  async #ownAddress(amphoraId: string, subnetId: string): Promise<string> {
    const [kept] = await this.#own.of(amphoraId);
    const address = kept ?? (await this.#own.takeFree(amphoraId, this.#ownRange));
    if (address === null) throw new NoFreeAddress(subnetId);
    return address;
  }

  async #named<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof IpError)) throw error;
      throw new NetworkUnavailable(`The kernel does not do it: ${error.message}.`, {}, { cause: error });
    }
  }
}
