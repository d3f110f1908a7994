import { FLOW_VERSIONS } from '@octavia/flows';
import { giveUpAmphora } from '../steps/give-up-amphora.ts';
import { type MendState, mendAmphora as mend } from '../steps/mend-amphora.ts';
import type { WorkerFlow } from '../world.ts';

/** Brings an amphora of a pair up to what the other one serves. Where it stays away, the amphora is replaced. */
export const mendAmphora: WorkerFlow<MendState> = {
  name: 'amphora.mend',
  version: FLOW_VERSIONS['amphora.mend'],
  steps: [mend],
  async settle(tx, end, world) {
    if (end.outcome !== 'FAILED' || end.fault === null) return null;
    const { loadBalancerId, amphoraId } = end.state;
    const fault = { reason: 'AMPHORA_UNREACHABLE', message: `It was not mended: ${end.fault.message}` };
    const [moved] = await giveUpAmphora(tx, amphoraId, fault, { ...world, flow: end.flow });
    if (!moved) return null;
    await world.events.append(tx, {
      loadBalancerId,
      projectId: end.flow.projectId,
      author: end.flow.author,
      requestId: end.flow.requestId,
      kind: 'amphora_given_up',
      objectKind: 'amphora',
      objectId: amphoraId,
      payload: { ...fault, flow_id: moved.flowId },
      traceparent: end.flow.traceContext.traceparent,
    });
    return null;
  },
};
