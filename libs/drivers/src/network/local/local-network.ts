import { mkdir, readdir, readlink, rm, stat, symlink } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { type Deployment, NotFound, UnsupportedByProvider } from '@octavia/domain';
import { formatIpv4, type Ipv4Range, ipv4Range, isInRange } from '../../addresses.ts';
import type { CallContext } from '../../call-context.ts';
import { fencedMarks } from '../../compute/local/options.ts';
import {
  FenceNotConfirmed,
  NetworkUnavailable,
  NoFreeAddress,
  VipAddressOutside,
  VipAddressTaken,
} from '../../errors.ts';
import { type EpochFences, FolderFences } from '../../fences/epoch-fences.ts';
import { readIfThere, writeWhole } from '../../files.ts';
import { namingSystemErrors } from '../../system-errors.ts';
import type { AllocatedVip, NetworkDriver, PlugRequest, Subnet, VipPort, VipRequest } from '../network-driver.ts';

export interface LocalNetworkOptions {
  /** Absolute; that of the local compute driver, whose marks tell which amphorae are fenced. */
  readonly dataFolder: string;
  /** Subnets of 127.0.0.0/8 with their ranges for VIPs; the first is the default. `loopbackPlan` gives one. */
  readonly subnets: readonly {
    id: string;
    name: string;
    networkId: string;
    cidr: string;
    first: string;
    last: string;
  }[];
}

/**
 * VIPs on addresses of 127.0.0.0/8, which every process of the machine can bind: nothing is plugged, but it is written down who has
 * which. A VIP goes to another amphora only when the one that had it is fenced, deleted, or gave it up.
 */
export class LocalNetworkDriver implements NetworkDriver {
  readonly name = 'local';
  /** A pair needs an address of the network for each amphora, and VRRP between them. */
  readonly abilities: Deployment = { topologies: ['SINGLE'], reachesLoopback: true, hostAddress: null };
  readonly #subnets: readonly { readonly subnet: Subnet; readonly range: Ipv4Range }[];
  readonly #fences: EpochFences;
  /** One symbolic link per allocated address, to the load balancer's id. */
  readonly #addresses: string;
  /** One file per load balancer with the id of the amphora that has its VIP. */
  readonly #holders: string;
  readonly #dataFolder: string;

  constructor({ dataFolder, subnets }: LocalNetworkOptions) {
    this.#subnets = subnets.map(({ first, last, ...rest }) => ({
      subnet: { ...rest, gateway: null, vipRange: { first, last } },
      range: ipv4Range(first, last),
    }));
    this.#dataFolder = dataFolder;
    this.#addresses = join(dataFolder, 'network', 'vips');
    this.#holders = join(dataFolder, 'network', 'holders');
    this.#fences = new FolderFences(join(dataFolder, 'network', 'epochs'));
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
      const kept = (await this.#addressesOf(loadBalancerId)).find((own) => isInRange(own, range));
      if (kept && (address === null || address === kept)) return allocated(kept);
      if (address !== null && !isInRange(address, range)) {
        throw new VipAddressOutside(address, subnetId, formatIpv4(range.first), formatIpv4(range.last));
      }
      const chosen = address ?? (await this.#takeFree(loadBalancerId, subnetId, range));
      await checkBindable(chosen);
      if (address !== null && !(await this.#take(address, loadBalancerId))) throw new VipAddressTaken(address);
      return allocated(chosen);
    });
  }

  holdings(context?: CallContext): Promise<readonly string[]> {
    return this.#named(async () => {
      await this.#enter(context);
      const addresses = await readdir(this.#addresses).catch(() => []);
      const owners = await Promise.all(addresses.map((one) => readlink(join(this.#addresses, one)).catch(() => null)));
      const held = await readdir(this.#holders).catch(() => []);
      return [...new Set([...owners.filter((owner) => owner !== null), ...held])];
    });
  }

  releaseVip(loadBalancerId: string, context?: CallContext): Promise<void> {
    return this.#named(async () => {
      await this.#enter(context);
      await rm(join(this.#holders, loadBalancerId), { force: true });
      for (const address of await this.#addressesOf(loadBalancerId)) {
        await rm(join(this.#addresses, address), { force: true });
      }
    });
  }

  plugVip(request: PlugRequest, context?: CallContext): Promise<VipPort> {
    return this.#named(async () => {
      await this.#enter(context);
      const { loadBalancerId, amphoraId, vip, topology } = request;
      if (topology !== 'SINGLE') throw new UnsupportedByProvider('topology', topology);
      const { subnet } = this.#find(vip.subnetId);
      const file = join(this.#holders, loadBalancerId);
      const holder = await readIfThere(file);
      if (holder !== null && holder !== amphoraId && (await this.#mayStillRun(holder))) {
        throw new FenceNotConfirmed(holder, `it has VIP ${vip.address} and was not fenced`);
      }
      await writeWhole(file, amphoraId);
      return {
        vipAddress: vip.address,
        subnetCidr: subnet.cidr,
        gateway: null,
        macAddress: '00:00:00:00:00:00',
        vrrpIp: vip.address,
        vrrpPortId: null,
        mtu: null,
        hostRoutes: [],
      };
    });
  }

  unplugVip(request: Parameters<NetworkDriver['unplugVip']>[0], context?: CallContext): Promise<void> {
    return this.#named(async () => {
      await this.#enter(context);
      const file = join(this.#holders, request.loadBalancerId);
      if ((await readIfThere(file)) === request.amphoraId) await rm(file, { force: true });
    });
  }

  async close(): Promise<void> {}

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

  /** An amphora of this data folder may run until it is marked as fenced; one that has no folder was deleted or never local. */
  async #mayStillRun(amphoraId: string): Promise<boolean> {
    const isThere = (path: string) =>
      stat(path).then(
        () => true,
        () => false,
      );
    const isFenced = await isThere(join(fencedMarks(this.#dataFolder), amphoraId));
    return !isFenced && (await isThere(join(this.#dataFolder, 'amphorae', amphoraId)));
  }

  async #takeFree(loadBalancerId: string, subnetId: string, { first, last }: Ipv4Range): Promise<string> {
    const taken = new Set(await readdir(this.#addresses).catch(() => []));
    for (let number = first; number <= last; number++) {
      const address = formatIpv4(number);
      if (!taken.has(address) && (await this.#take(address, loadBalancerId))) return address;
    }
    throw new NoFreeAddress(subnetId);
  }

  /** Whether the address is the load balancer's now. Making the link is atomic: of two that ask at once, one gets it. */
  async #take(address: string, loadBalancerId: string): Promise<boolean> {
    await mkdir(this.#addresses, { recursive: true, mode: 0o700 });
    const path = join(this.#addresses, address);
    try {
      await symlink(loadBalancerId, path);
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      return (await readlink(path).catch(() => null)) === loadBalancerId;
    }
  }

  async #addressesOf(loadBalancerId: string): Promise<readonly string[]> {
    const addresses = await readdir(this.#addresses).catch(() => []);
    const owners = await Promise.all(addresses.map((one) => readlink(join(this.#addresses, one)).catch(() => null)));
    return addresses.filter((_, index) => owners[index] === loadBalancerId);
  }
}

/** @throws NetworkUnavailable when the machine does not let us bind the address at all */
function checkBindable(address: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', (error) =>
      reject(
        new NetworkUnavailable(`VIP ${address} cannot be bound: ${error.message}.`, { address }, { cause: error }),
      ),
    );
    server.listen({ host: address, port: 0 }, () => server.close(() => resolve()));
  });
}
