import { Amphorae, Events, FailoverCandidates, Flows, LoadBalancers, lastHeartbeats, type Tx } from '@octavia/db';
import { type Amphora, type Caller, DomainError, isBeingDeleted, LoadBalancerBeingDeleted } from '@octavia/domain';
import { deleteAmphora, failoverAmphora as failoverFlow } from '@octavia/flows';
import { FailoverAmphoraRequest, type FailoverAmphoraResponse } from '@octavia/proto';
import { currentTraceContext } from '@octavia/service';
import { requireAdmin } from '../authorize.ts';
import { Violations } from '../check/violations.ts';
import { isRepetition } from '../once.ts';
import type { Parts } from '../parts.ts';
import { writeAmphora } from '../translate/amphora.ts';

const amphorae = new Amphorae();
const candidates = new FailoverCandidates();
const events = new Events();
const flows = new Flows();
const loadBalancers = new LoadBalancers();

/** What an operator asks for cannot be done with the amphora as it is, or not now. */
export class AmphoraNotFit extends DomainError {
  readonly kind = 'state';
  readonly reason: string;
  constructor(
    reason:
      | 'AMPHORA_NOT_REPLACEABLE'
      | 'AMPHORA_NOT_CONFIGURABLE'
      | 'AMPHORA_DELETED'
      | 'AMPHORA_STILL_HEARD'
      | 'FAILOVER_UNDER_WAY'
      | 'LOAD_BALANCER_BEING_CREATED',
    message: string,
    details: Record<string, string>,
  ) {
    super(message, details);
    this.reason = reason;
  }
}

/** Why an operator's failover replaces an amphora. */
const FAULT = { reason: 'FAILOVER_REQUESTED', message: 'An operator asked for its replacement.' };

/** Replaces an amphora that serves, by the rules of health: once, in one transaction with its mark. A spare is deleted. */
export async function failoverAmphora(
  parts: Parts,
  request: FailoverAmphoraRequest,
  caller: Caller,
): Promise<FailoverAmphoraResponse> {
  requireAdmin(caller, 'Failover of an amphora');
  const check = new Violations();
  const id = check.uuid('id', request.id);
  const requestId = check.optionalUuid('request_id', request.requestId);
  check.finish();
  return parts.db.transaction(async (tx) => {
    const call = { method: 'FailoverAmphora', requestId, request: encode(request), objectId: id };
    const flowId = (await isRepetition(tx, call, caller))
      ? await newestFlow(tx, id)
      : await start(parts, tx, id, caller);
    const heartbeats = await lastHeartbeats(tx, [id]);
    return {
      amphora: writeAmphora(await amphorae.get(tx, id), heartbeats.get(id)),
      flowId,
      flowIds: flowId === '' ? [] : [flowId],
    };
  });
}

function encode(request: FailoverAmphoraRequest): Uint8Array {
  return FailoverAmphoraRequest.encode(request).finish();
}

async function newestFlow(tx: Tx, id: string): Promise<string> {
  return (await flows.newestReplacing(tx, one(await amphorae.get(tx, id)), { onlyOpen: false }))?.id ?? '';
}

async function start(parts: Parts, tx: Tx, id: string, caller: Caller): Promise<string> {
  const amphora = await amphorae.get(tx, id);
  const { loadBalancerId } = one(amphora);
  const underWay = await flows.newestReplacing(tx, one(amphora), { onlyOpen: true });
  if (underWay) return underWay.id;
  return loadBalancerId === null
    ? discard(parts, tx, amphora, caller)
    : replace(parts, tx, amphora, loadBalancerId, caller);
}

/** Deletes a spare; housekeeping builds another. */
async function discard({ policy }: Parts, tx: Tx, amphora: Amphora, caller: Caller): Promise<string> {
  const spare = await candidates.discardSpare(tx, amphora.id, FAULT);
  if (!spare) {
    // Not READY any more: deleted by another such call, or taken by a load balancer.
    const now = await amphorae.get(tx, amphora.id);
    const underWay = await flows.newestReplacing(tx, one(now), { onlyOpen: true });
    if (underWay) return underWay.id;
    throw notReplaceable(now);
  }
  const requester = { projectId: spare.projectId, userId: caller.userId, requestId: caller.requestId };
  return flows.start(tx, deleteAmphora(amphora.id, requester, { deadlineMs: policy.flowDeadlineMs }));
}

async function replace(
  { policy }: Parts,
  tx: Tx,
  amphora: Amphora,
  loadBalancerId: string,
  caller: Caller,
): Promise<string> {
  const loadBalancer = await loadBalancers.lock(tx, loadBalancerId);
  if (loadBalancer && isBeingDeleted(loadBalancer)) throw new LoadBalancerBeingDeleted(loadBalancerId);
  const all = await candidates.lock(tx, amphora.id);
  const candidate = all.find((found) => found.loadBalancerId === loadBalancerId);
  if (!candidate) throw notReplaceable(amphora);
  if (candidate.state !== 'FREE') {
    // Of this amphora or of all, by now: whoever locked first has started it.
    const underWay = await flows.newestReplacing(tx, one(amphora), { onlyOpen: true });
    if (underWay) return underWay.id;
    const message = `Another amphora of load balancer ${loadBalancerId} is being replaced. Try again when that has ended.`;
    throw new AmphoraNotFit('FAILOVER_UNDER_WAY', message, { id: amphora.id, loadBalancerId });
  }
  if (candidate.provisioningStatus === 'PENDING_CREATE') {
    const message = `Load balancer ${loadBalancerId} is being created. Try again when it is ACTIVE, or delete it.`;
    throw new AmphoraNotFit('LOAD_BALANCER_BEING_CREATED', message, { id: amphora.id, loadBalancerId });
  }
  await candidates.setFault(tx, amphora.id, FAULT);
  const requester = { projectId: candidate.projectId, userId: caller.userId, requestId: caller.requestId };
  const options = { deadlineMs: policy.flowDeadlineMs };
  const flowId = await flows.start(tx, failoverFlow(amphora.id, loadBalancerId, requester, options));
  await events.append(tx, {
    loadBalancerId,
    projectId: candidate.projectId,
    author: caller.userId,
    requestId: caller.requestId,
    kind: 'amphora_failover_requested',
    objectKind: 'amphora',
    objectId: amphora.id,
    payload: { flow_id: flowId },
    traceparent: currentTraceContext().traceparent,
  });
  return flowId;
}

function one({ id, seats }: Amphora): { readonly id: string; readonly loadBalancerId: string | null } {
  return { id, loadBalancerId: seats[0]?.loadBalancerId ?? null };
}

function notReplaceable({ id, status }: Amphora): AmphoraNotFit {
  const message = `Amphora ${id} is ${status}: only one that serves (ALLOCATED) or a spare (READY) can be replaced.`;
  return new AmphoraNotFit('AMPHORA_NOT_REPLACEABLE', message, { id, status });
}
