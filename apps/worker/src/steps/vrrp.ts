import type { AmphoraRole, LoadBalancerTree, SeatedAmphora } from '@octavia/domain';
import type { VipPort } from '@octavia/drivers';
import { renderKeepalived, type VipNetwork } from '@octavia/render';
import { type Context, callOf, endpointOf } from '../world.ts';

/** Of what the plug call told, what keepalived has to know. */
export function vipNetworkOf({ subnetCidr, gateway, hostRoutes }: VipPort): VipNetwork {
  return { cidr: subnetCidr, gateway, hostRoutes: hostRoutes.map((route) => ({ ...route })) };
}

/** The load balancer with what is below it. @throws Error when it is gone */
export async function treeOf(loadBalancerId: string, { trees, reader }: Context): Promise<LoadBalancerTree> {
  const tree = await trees.read(reader, loadBalancerId);
  if (!tree) throw new Error(`Load balancer ${loadBalancerId} is not there.`);
  return tree;
}

/**
 * Gives an amphora of a pair its keepalived configuration, which takes effect when keepalived is started or reloaded. Returns the name of
 * the interface that carries its VRRP address.
 * @param members all amphorae that serve, or are to: the other one of them is its peer
 */
export async function uploadVrrp(
  amphora: SeatedAmphora,
  members: readonly SeatedAmphora[],
  { tree, vipNetwork }: { readonly tree: LoadBalancerTree; readonly vipNetwork: VipNetwork },
  context: Context,
): Promise<string> {
  const { id, facts, vrrpIp, role } = amphora;
  if (!facts || vrrpIp === null || role === null) throw new Error(`Amphora ${id} has no part in a pair yet.`);
  const endpoint = endpointOf(amphora);
  const name = await context.amphora.getInterface(endpoint, vrrpIp, callOf(context));
  const text = renderKeepalived(tree, { id, role, facts, vrrpIp, interface: name }, peerOf(amphora, members), {
    vipNetwork,
  });
  await context.amphora.uploadVrrp(endpoint, tree.loadBalancer.id, text, callOf(context));
  return name;
}

function peerOf(
  { id }: SeatedAmphora,
  members: readonly SeatedAmphora[],
): { readonly id: string; readonly role: AmphoraRole; readonly vrrpIp: string } | null {
  for (const one of members) {
    if (one.id !== id && one.role !== null && one.vrrpIp !== null)
      return { id: one.id, role: one.role, vrrpIp: one.vrrpIp };
  }
  return null;
}
