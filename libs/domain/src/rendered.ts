/** Which objects reach the data plane. One rule, for whoever renders and for whoever expects the result in heartbeats. */
import type { Intent, Listener, LoadBalancerTree } from './objects.ts';

/** Reasons of faults that say: the renderer cannot write this object, and leaves it out until a caller changes it. */
export const UNRENDERABLE_REASONS = ['BAD_STORED_VALUE', 'UNSUPPORTED_BY_PROVIDER'] as const;
export type UnrenderableReason = (typeof UNRENDERABLE_REASONS)[number];

/**
 * Whether a configuration contains `object`, apart from being disabled. Left out are what is being deleted, what was refused at
 * its creation (in ERROR and never applied), and what the renderer reported as unrenderable. An object in ERROR that was
 * applied before is in: the data plane keeps its last good values.
 */
export function isRendered(object: Pick<Intent, 'provisioningStatus' | 'appliedRevision' | 'fault'>): boolean {
  if (object.provisioningStatus === 'PENDING_DELETE' || object.provisioningStatus === 'DELETED') return false;
  if (object.provisioningStatus !== 'ERROR') return true;
  const reason = object.fault?.reason;
  return object.appliedRevision > 0 && !UNRENDERABLE_REASONS.some((unrenderable) => unrenderable === reason);
}

/** The listeners that carry traffic, and that a heartbeat must therefore report: none of a disabled load balancer. */
export function renderedListeners(tree: Pick<LoadBalancerTree, 'loadBalancer' | 'listeners'>): Listener[] {
  if (!tree.loadBalancer.adminStateUp) return [];
  return tree.listeners.filter((listener) => listener.adminStateUp && isRendered(listener));
}
