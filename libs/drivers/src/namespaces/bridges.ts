import { ipBatch, ipShow } from './ip.ts';
import { type BridgePlan, bridgeMac, type NamespacePlan } from './plan.ts';

/**
 * Makes both bridges with the host's address on each, or finishes what an earlier call began. Doing it again changes nothing.
 * @throws IpError
 */
export async function makeBridges(plan: NamespacePlan): Promise<void> {
  for (const network of [plan.management, plan.vip]) await makeBridge(plan, network);
}

async function makeBridge({ installationId }: NamespacePlan, network: BridgePlan): Promise<void> {
  const { bridge, hostAddress, prefixLength } = network;
  if ((await ipShow(['link', 'show', 'dev', bridge])) === null) {
    // Another worker may make it at the same time: whose command comes second fails, and finds it.
    const made = ['link', 'add', bridge, 'address', bridgeMac(network), 'type', 'bridge'];
    await ipBatch([made]).catch(async (error) => {
      if ((await ipShow(['link', 'show', 'dev', bridge])) === null) throw error;
    });
  }
  await ipBatch([
    ['link', 'set', bridge, 'alias', `octavia ${installationId}`, 'up'],
    ['address', 'replace', `${hostAddress}/${prefixLength}`, 'dev', bridge],
  ]);
  // Snooping would hold back VRRP's multicast for want of a querier. Kernels without it need not be told.
  await ipBatch([['link', 'set', bridge, 'type', 'bridge', 'mcast_snooping', '0']], { isForced: true });
}
