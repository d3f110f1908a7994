import { FailoverCandidates } from '@octavia/db';
import { FLOW_VERSIONS, failoverAmphora } from '@octavia/flows';
import { type MendState, mendAmphora as mend } from '../steps/mend-amphora.ts';
import { requesterOf, type WorkerFlow } from '../world.ts';

const candidates = new FailoverCandidates();

/** Brings an amphora of a pair up to what the other one serves. Where it stays away, the amphora is replaced. */
export const mendAmphora: WorkerFlow<MendState> = {
  name: 'amphora.mend',
  version: FLOW_VERSIONS['amphora.mend'],
  steps: [mend],
  async settle(tx, end, { flows, events, settings }) {
    if (end.outcome !== 'FAILED' || end.fault === null) return null;
    const { loadBalancerId, amphoraId } = end.state;
    if (typeof (await candidates.lock(tx, amphoraId)) === 'string') return null;
    const fault = { reason: 'AMPHORA_UNREACHABLE', message: `It was not mended: ${end.fault.message}` };
    await candidates.setFault(tx, amphoraId, fault);
    const options = { deadlineMs: settings.flowDeadlineMs };
    const flowId = await flows.start(tx, failoverAmphora(amphoraId, loadBalancerId, requesterOf(end), options));
    await events.append(tx, {
      loadBalancerId,
      projectId: end.flow.projectId,
      author: end.flow.author,
      requestId: end.flow.requestId,
      kind: 'amphora_given_up',
      objectKind: 'amphora',
      objectId: amphoraId,
      payload: { ...fault, flow_id: flowId },
      traceparent: end.flow.traceContext.traceparent,
    });
    return null;
  },
};
