import {
  Amphorae,
  Events,
  type FailoverCandidate,
  FailoverCandidates,
  type FlowRecord,
  Flows,
  LoadBalancers,
  lastHeartbeats,
  type Tx,
} from '@octavia/db';
import {
  type Amphora,
  type Caller,
  DomainError,
  FAILOVER_REQUESTED,
  isBeingDeleted,
  LoadBalancerBeingDeleted,
  NotFound,
  Unavailable,
} from '@octavia/domain';
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
const FAULT = { reason: FAILOVER_REQUESTED, message: 'An operator asked for its replacement.' };

/** Tries, each of which may find that a load balancer has just been given a seat. There are few seats, so few tries are enough. */
const TRIES = 5;

/**
 * Replaces an amphora that serves, by the rules of health: once, in one transaction with its mark, for each load balancer on it by a flow
 * of its own. A spare is deleted.
 */
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
  const call = {
    method: 'FailoverAmphora',
    requestId,
    request: FailoverAmphoraRequest.encode(request).finish(),
    objectId: id,
  };
  for (let attempt = 1; ; attempt++) {
    try {
      return await parts.db.transaction(async (tx) => {
        const flowIds = (await isRepetition(tx, call, caller))
          ? await flowsOfLast(tx, id)
          : await start(parts, tx, id, caller);
        const heartbeats = await lastHeartbeats(tx, [id]);
        const amphora = writeAmphora(await amphorae.get(tx, id), heartbeats.get(id));
        return { amphora, flowId: flowIds[0] ?? '', flowIds };
      });
    } catch (error) {
      if (!(error instanceof SeatJustTaken) || attempt === TRIES) throw error;
    }
  }
}

/** A load balancer got a seat on the amphora between two locks. Its own has to be taken first, so all begins anew. */
class SeatJustTaken extends Unavailable {
  constructor(id: string) {
    super('AMPHORA_BUSY', `Load balancers are just being given to amphora ${id}. Try again.`);
  }
}

/** The flows that replaced it last: the newest, and those that were open when it was started. */
async function flowsOfLast(tx: Tx, id: string): Promise<string[]> {
  const all = await replacing(tx, await amphorae.get(tx, id), false);
  const failovers = all.filter(({ name }) => name !== 'amphora.delete');
  const found = failovers.length > 0 ? failovers : all;
  const since = found.at(-1)?.createdAt ?? new Date(0);
  return found.filter(({ finishedAt }) => finishedAt === null || finishedAt >= since).map((flow) => flow.id);
}

function replacing(tx: Tx, { id, seats }: Amphora, onlyOpen: boolean): Promise<FlowRecord[]> {
  return flows.replacing(tx, { id, loadBalancerIds: seats.map(({ loadBalancerId }) => loadBalancerId) }, { onlyOpen });
}

async function start(parts: Parts, tx: Tx, id: string, caller: Caller): Promise<string[]> {
  const amphora = await amphorae.get(tx, id);
  return amphora.seats.length === 0 ? discard(parts, tx, id, caller) : replace(parts, tx, id, caller);
}

/** Deletes a spare; housekeeping builds another. */
async function discard({ policy }: Parts, tx: Tx, id: string, caller: Caller): Promise<string[]> {
  const spare = await candidates.discardSpare(tx, id, FAULT);
  if (!spare) {
    // Not READY any more: deleted by another such call, or taken by a load balancer.
    const now = await amphorae.get(tx, id);
    if (now.seats.length > 0) throw new SeatJustTaken(id);
    return underWay(tx, now);
  }
  const requester = { projectId: spare.projectId, userId: caller.userId, requestId: caller.requestId };
  return [await flows.start(tx, deleteAmphora(id, requester, { deadlineMs: policy.flowDeadlineMs }))];
}

/** All load balancers on it, or none: those that stayed would lose it. */
async function replace(parts: Parts, tx: Tx, id: string, caller: Caller): Promise<string[]> {
  const found = await candidates.lock(tx, id);
  const amphora = await amphorae.get(tx, id);
  const serving = amphora.seats.filter(({ state }) => state === 'TAKEN' && amphora.status === 'ALLOCATED');
  const locked = new Set(found.map(({ loadBalancerId }) => loadBalancerId));
  const others = serving.filter(({ loadBalancerId }) => !locked.has(loadBalancerId));
  for (const { loadBalancerId } of others) {
    if (!(await isGoing(tx, loadBalancerId))) throw new SeatJustTaken(id);
  }
  for (const candidate of found) assertMovable(candidate);
  const free = found.filter(({ state }) => state === 'FREE');
  // The mark keeps others from getting a seat.
  if (free.length > 0) await candidates.setFault(tx, id, FAULT);
  for (const candidate of free) await move(parts, tx, candidate, caller);
  return underWay(tx, amphora, others[0]?.loadBalancerId);
}

/** What replaces the amphora. @param going a load balancer on it that is being deleted @throws when nothing does */
async function underWay(tx: Tx, amphora: Amphora, going?: string): Promise<string[]> {
  const open = await replacing(tx, amphora, true);
  if (open.length > 0) return open.map((flow) => flow.id);
  if (going !== undefined) throw new LoadBalancerBeingDeleted(going);
  const { id, status } = amphora;
  const message = `Amphora ${id} is ${status}: only one that serves (ALLOCATED) or a spare (READY) can be replaced.`;
  throw new AmphoraNotFit('AMPHORA_NOT_REPLACEABLE', message, { id, status });
}

async function isGoing(tx: Tx, loadBalancerId: string): Promise<boolean> {
  try {
    return isBeingDeleted(await loadBalancers.get(tx, loadBalancerId, null));
  } catch (error) {
    if (error instanceof NotFound) return true;
    throw error;
  }
}

function assertMovable({ amphoraId: id, loadBalancerId, state, provisioningStatus }: FailoverCandidate): void {
  if (state === 'NEXT') {
    const message = `Another amphora of load balancer ${loadBalancerId} is being replaced. Try again when that has ended.`;
    throw new AmphoraNotFit('FAILOVER_UNDER_WAY', message, { id, loadBalancerId });
  }
  if (state === 'FREE' && provisioningStatus === 'PENDING_CREATE') {
    const message = `Load balancer ${loadBalancerId} is being created. Try again when it is ACTIVE, or delete it.`;
    throw new AmphoraNotFit('LOAD_BALANCER_BEING_CREATED', message, { id, loadBalancerId });
  }
}

/** Starts the replacement of the amphora for one load balancer. */
async function move(
  { policy }: Parts,
  tx: Tx,
  { amphoraId, loadBalancerId, projectId }: FailoverCandidate,
  caller: Caller,
): Promise<void> {
  const requester = { projectId, userId: caller.userId, requestId: caller.requestId };
  const options = { deadlineMs: policy.flowDeadlineMs };
  const flowId = await flows.start(tx, failoverFlow(amphoraId, loadBalancerId, requester, options));
  await events.append(tx, {
    loadBalancerId,
    projectId,
    author: caller.userId,
    requestId: caller.requestId,
    kind: 'amphora_failover_requested',
    objectKind: 'amphora',
    objectId: amphoraId,
    payload: { flow_id: flowId },
    traceparent: currentTraceContext().traceparent,
  });
}
