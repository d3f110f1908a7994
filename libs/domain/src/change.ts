import { LoadBalancerBeingDeleted } from './errors.ts';
import type { Intent, LoadBalancer } from './objects.ts';
import type { ProvisioningStatus } from './status.ts';

/** What a caller asks of a load balancer, or of something below it (which is an `update`). */
export type Change = 'update' | 'failover' | 'delete';

export function isBeingDeleted(object: { readonly provisioningStatus: ProvisioningStatus }): boolean {
  return object.provisioningStatus === 'PENDING_DELETE' || object.provisioningStatus === 'DELETED';
}

/**
 * The load balancer as it is once `change` is accepted: pending, and one revision further.
 * A busy load balancer takes changes, and so does one in ERROR: only deletion is final.
 * @throws LoadBalancerBeingDeleted
 */
export function begin(change: Change, lb: LoadBalancer): LoadBalancer {
  if (isBeingDeleted(lb)) throw new LoadBalancerBeingDeleted(lb.id);
  return { ...lb, provisioningStatus: pending(change, lb), fault: null, desiredRevision: lb.desiredRevision + 1 };
}

function pending(change: Change, lb: LoadBalancer): ProvisioningStatus {
  if (change === 'delete') return 'PENDING_DELETE';
  return lb.provisioningStatus === 'PENDING_CREATE' ? 'PENDING_CREATE' : 'PENDING_UPDATE';
}

/** Status of a child once a caller has changed it. One that no data plane has served yet stays a creation. */
export function changed(object: Intent): ProvisioningStatus {
  return object.appliedRevision === 0 ? 'PENDING_CREATE' : 'PENDING_UPDATE';
}

/** Changes with each change that a caller makes, not with our progress. Opaque to callers. */
export function etagOf(object: { readonly id: string; readonly revision: number }): string {
  return `${object.id.slice(-8)}-${object.revision}`;
}
