import type { Tx } from '@octavia/db';
import { type Fault, isBeingDeleted, type NewFlow } from '@octavia/domain';
import { updateLoadBalancer } from '@octavia/flows';
import type { End, World } from '../world.ts';
import { requesterOf } from '../world.ts';

interface Pushed {
  readonly loadBalancerId: string;
  readonly target?: number;
  readonly undecided?: readonly string[];
}

/**
 * The end of every flow that pushes a configuration: ACTIVE up to what was pushed, or ERROR with the reason. One that was stopped
 * leaves what is pending to the flow that stopped it. What is desired beyond it is pushed next.
 */
export async function settleLoadBalancer(tx: Tx, end: End<Pushed>, world: World): Promise<NewFlow | null> {
  const { settlement, loadBalancers, settings } = world;
  const { loadBalancerId, target, undecided } = end.state;
  const push = (): NewFlow =>
    updateLoadBalancer(loadBalancerId, requesterOf(end), { deadlineMs: settings.flowDeadlineMs });
  if (end.outcome === 'SUCCEEDED' && target !== undefined) {
    const { isMoreDesired } = await settlement.pushed(tx, loadBalancerId, target, undecided);
    return isMoreDesired ? push() : null;
  }
  const wasCancelledByOperator = end.outcome === 'CANCELLED' && end.flow.stopRequested === 'CANCELLED';
  if (end.fault && (end.outcome === 'FAILED' || wasCancelledByOperator)) {
    const fault = wasCancelledByOperator
      ? { reason: 'CANCELLED', message: 'An operator cancelled it. Change it, or fail it over, to try again.' }
      : withAdvice(end.fault);
    await settlement.failed(tx, loadBalancerId, fault);
    return null;
  }
  // Stopped for another flow, which is queued and settles everything; in case it is not any more, a push does.
  const lb = await loadBalancers.lock(tx, loadBalancerId);
  const isPending = lb?.provisioningStatus.startsWith('PENDING') && !isBeingDeleted(lb);
  return isPending ? push() : null;
}

/** What was not done in time is still desired: any change, and a failover too, tries it again. */
function withAdvice(fault: Fault): Fault {
  if (fault.reason !== 'DEADLINE_EXCEEDED' && fault.reason !== 'FENCE_NOT_CONFIRMED') return fault;
  return { ...fault, message: `${fault.message} Change it, or fail it over, to try again.` };
}
