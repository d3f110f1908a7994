import type { Leftover } from '../../leftover.ts';
import type { Holders } from './holders.ts';
import type { VipAddresses } from './vip-addresses.ts';

/** Every VIP that a load balancer has here, and every amphora that holds one. */
export async function networkLeftovers(addresses: VipAddresses, holders: Holders): Promise<Leftover[]> {
  const vips = (await addresses.all()).map(({ address, owner }) => of('vip', address, owner, null));
  const held: Leftover[] = [];
  for (const loadBalancerId of await holders.loadBalancers()) {
    for (const amphoraId of await holders.of(loadBalancerId)) {
      held.push(of('holder', `${loadBalancerId} ${amphoraId}`, loadBalancerId, amphoraId));
    }
  }
  return [...vips, ...held];
}

function of(kind: string, name: string, loadBalancerId: string, amphoraId: string | null): Leftover {
  return { kind, name, loadBalancerId, amphoraId, ageMs: null };
}
