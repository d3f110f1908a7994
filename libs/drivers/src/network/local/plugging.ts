import { stat } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { type Deployment, type Topology, UnsupportedByProvider } from '@octavia/domain';
import { fencedMarks } from '../../compute/local/options.ts';
import { NetworkUnavailable } from '../../errors.ts';
import type { AllocatedVip, VipPort } from '../network-driver.ts';
import { pidsOn } from './sockets.ts';

/** How an amphora of this machine comes to a VIP: what differs between the modes of the local network driver. */
export interface Plugging {
  readonly abilities: Deployment;
  /** Makes sure that the address can be had on this machine. @throws NetworkUnavailable */
  checkAddress(address: string): Promise<void>;
  /** Whether an amphora that held a VIP may still answer for it. */
  mayAnswer(amphoraId: string): Promise<boolean>;
  /** Takes an amphora off the network of its VIPs, of which a person has made sure that it is isolated. @throws NetworkUnavailable */
  cutOff(amphoraId: string): Promise<void>;
  /** @throws UnsupportedByProvider, NoFreeAddress, PlugFailed, NetworkUnavailable */
  plug(amphoraId: string, vip: AllocatedVip, topology: Topology): Promise<PluggedPort>;
  /**
   * @param isLast whether the amphora holds no other VIP
   * @returns why it may still answer for the addresses, as the end of a sentence; null: it cannot any more @throws NetworkUnavailable
   */
  unplug(amphoraId: string, addresses: readonly string[], isLast: boolean): Promise<string | null>;
}

export type PluggedPort = Pick<VipPort, 'macAddress' | 'vrrpIp' | 'vrrpPortId'>;

/** Addresses of 127.0.0.0/8, which every process of the machine can bind: nothing is plugged. */
export class LoopbackPlugging implements Plugging {
  /** A pair needs an address of the network for each amphora, and VRRP between them. */
  readonly abilities: Deployment = { topologies: ['SINGLE'], reachesLoopback: true, hostAddress: null };
  readonly #dataFolder: string;

  constructor(dataFolder: string) {
    this.#dataFolder = dataFolder;
  }

  checkAddress(address: string): Promise<void> {
    return checkBindable(address);
  }

  /** It may until it is marked as fenced; one that has no folder was deleted or never local. */
  async mayAnswer(amphoraId: string): Promise<boolean> {
    const { isFenced, isThere } = await traceOf(this.#dataFolder, amphoraId);
    return !isFenced && isThere;
  }

  async cutOff(): Promise<void> {} // Whoever runs can bind the address: there is nothing to take away.

  async plug(_: string, vip: AllocatedVip, topology: Topology): Promise<PluggedPort> {
    if (topology !== 'SINGLE') throw new UnsupportedByProvider('topology', topology);
    return { macAddress: '00:00:00:00:00:00', vrrpIp: vip.address, vrrpPortId: null };
  }

  /** There is nothing to take away: what gives up a VIP is the end of the load balancer's processes. */
  async unplug(amphoraId: string, addresses: readonly string[]): Promise<string | null> {
    if (!(await this.mayAnswer(amphoraId))) return null;
    const pids = await pidsOn(addresses, amphoraId, this.#dataFolder);
    return pids.length === 0 ? null : `processes ${pids.join(', ')} still have sockets on ${addresses.join(', ')}`;
  }
}

/** What the data folder tells of an amphora: whether it is marked as fenced or deleted, and whether it has a folder. */
export async function traceOf(
  dataFolder: string,
  amphoraId: string,
): Promise<{ readonly isFenced: boolean; readonly isThere: boolean }> {
  const exists = (path: string) =>
    stat(path).then(
      () => true,
      () => false,
    );
  return {
    isFenced: await exists(join(fencedMarks(dataFolder), amphoraId)),
    isThere: await exists(join(dataFolder, 'amphorae', amphoraId)),
  };
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
