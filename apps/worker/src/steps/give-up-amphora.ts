import { type FailoverCandidate, FailoverCandidates, type Tx } from '@octavia/db';
import type { Fault } from '@octavia/domain';
import { failoverAmphora } from '@octavia/flows';
import type { EngineContext } from '../engine/flow.ts';
import { requesterOf, type World } from '../world.ts';

const candidates = new FailoverCandidates();

/**
 * An amphora is out of order: nothing is given to it any more, and everything that it serves is moved, each by a flow of its own. What is
 * being moved, made or deleted already is left to the flow that does so. Takes the locks of load balancers, so call it first.
 * @returns who is moved, with the flows
 */
export async function giveUpAmphora(
  tx: Tx,
  amphoraId: string,
  fault: Fault,
  { flows, settings, flow }: Pick<World, 'flows' | 'settings'> & Pick<EngineContext, 'flow'>,
): Promise<readonly (FailoverCandidate & { readonly flowId: string })[]> {
  const all = await candidates.lock(tx, amphoraId);
  await candidates.setFault(tx, amphoraId, fault);
  const moved = [];
  for (const one of all) {
    if (one.state !== 'FREE' || one.provisioningStatus === 'PENDING_CREATE') continue;
    const options = { deadlineMs: settings.flowDeadlineMs };
    const flowId = await flows.start(
      tx,
      failoverAmphora(amphoraId, one.loadBalancerId, requesterOf({ flow }), options),
    );
    moved.push({ ...one, flowId });
  }
  return moved;
}
