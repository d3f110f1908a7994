import type { LoadBalancerTree } from '@octavia/domain';
import { fastVrrpText } from './keepalived-fast.ts';
import { octaviaVrrpText } from './keepalived-octavia.ts';
import { type VrrpAmphora, type VrrpPeer, type VrrpSettings, vrrpPlanOf } from './keepalived-plan.ts';

/**
 * Renders keepalived's configuration: byte for byte what Octavia writes, or, where `facts.platform.fastVrrp` says that the agent is
 * ours, a form by which a dead amphora costs less than half a second. Both amphorae of a pair must have the same form.
 * @param peer null while the amphora is alone: then it is the master
 * @throws VrrpInvalid
 */
export function renderKeepalived(
  tree: LoadBalancerTree,
  amphora: VrrpAmphora,
  peer: VrrpPeer | null,
  settings: VrrpSettings,
): string {
  const plan = vrrpPlanOf(tree, amphora, peer, settings);
  return amphora.facts.platform.fastVrrp ? fastVrrpText(plan) : octaviaVrrpText(plan);
}
