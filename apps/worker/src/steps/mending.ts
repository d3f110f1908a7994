import type { Tx } from '@octavia/db';
import { faultOf, type SeatedAmphora } from '@octavia/domain';
import { mendAmphora } from '@octavia/flows';
import { ATTR } from '@octavia/service';
import { type Context, requesterOf } from '../world.ts';

/** An amphora of a pair that did not take what the other one serves. */
export interface Lost {
  readonly amphora: SeatedAmphora;
  readonly error: unknown;
}

/**
 * Starts the repair of amphorae that could not be reached, and tells it. Does nothing for one that is being repaired or replaced
 * already.
 */
export async function startMending(
  tx: Tx,
  loadBalancerId: string,
  lost: readonly Lost[],
  context: Context,
): Promise<void> {
  const { loadBalancers, flows, flow, events, log, settings } = context;
  await loadBalancers.lock(tx, loadBalancerId);
  const open = (await flows.open(tx, loadBalancerId)).filter(({ id }) => id !== flow.id);
  if (open.some(({ name }) => name === 'load_balancer.failover')) return;
  for (const { amphora, error } of lost) {
    if (open.some(({ name, amphoraId }) => amphoraId === amphora.id && REPAIRS.includes(name))) continue;
    const options = { deadlineMs: settings.mendMs };
    const flowId = await flows.start(tx, mendAmphora(amphora.id, loadBalancerId, requesterOf(context), options));
    const { reason, message } = faultOf(error);
    log.warn({ [ATTR.AMPHORA_ID]: amphora.id, err: error }, 'amphora of a pair not reached, mending it');
    await events.append(tx, {
      loadBalancerId,
      projectId: flow.projectId,
      author: flow.author,
      requestId: flow.requestId,
      kind: 'amphora_unreachable',
      objectKind: 'amphora',
      objectId: amphora.id,
      payload: { reason, message, flow_id: flowId },
      traceparent: flow.traceContext.traceparent,
    });
  }
}

const REPAIRS: readonly string[] = ['amphora.mend', 'amphora.failover'];
