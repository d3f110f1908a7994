import { Amphorae, Events, FenceConfirmations, type FlowRecord, Flows, LoadBalancers, type Tx } from '@octavia/db';
import { type Amphora, begin, type Caller, isBeingDeleted, type LoadBalancer } from '@octavia/domain';
import { deleteAmphora, deleteLoadBalancer, failoverAmphora, failoverLoadBalancer } from '@octavia/flows';
import { ConfirmFenceRequest, type ConfirmFenceResponse } from '@octavia/proto';
import { currentTraceContext } from '@octavia/service';
import { requireAdmin } from '../authorize.ts';
import { Violations } from '../check/violations.ts';
import { isRepetition } from '../once.ts';
import type { Parts } from '../parts.ts';
import { AmphoraNotFit } from './amphora-failover.ts';
import { readAmphora } from './read-amphora.ts';

const amphorae = new Amphorae();
const confirmations = new FenceConfirmations();
const events = new Events();
const flows = new Flows();
const loadBalancers = new LoadBalancers();

/** Reason with which flows wait, and then give up. */
const REASON = 'FENCE_NOT_CONFIRMED';

/** Keeps that a person has isolated the amphora, and lets go on what waits for that, or gave up for it. */
export async function confirmFence(
  parts: Parts,
  request: ConfirmFenceRequest,
  caller: Caller,
): Promise<ConfirmFenceResponse> {
  requireAdmin(caller, 'Confirming that an amphora is isolated');
  const check = new Violations();
  const id = check.uuid('id', request.id);
  const requestId = check.optionalUuid('request_id', request.requestId);
  check.finish();
  const call = {
    method: 'ConfirmFence',
    requestId,
    request: ConfirmFenceRequest.encode(request).finish(),
    objectId: id,
  };
  return parts.db.transaction(async (tx) => {
    const isRepeated = await isRepetition(tx, call, caller);
    const loadBalancerId = (await amphorae.get(tx, id)).seats[0]?.loadBalancerId ?? null;
    const lb = loadBalancerId === null ? null : await loadBalancers.lock(tx, loadBalancerId);
    const amphora = await amphorae.get(tx, id, { lock: true });
    if (!isRepeated) await confirm(parts, tx, amphora, lb, caller);
    const flow = (await wake(tx, amphora)) ?? (isRepeated ? null : await restart(parts, tx, amphora, lb, caller));
    return { amphora: await readAmphora(tx, id), flowId: flow ?? '', flowIds: flow === null ? [] : [flow] };
  });
}

async function confirm(
  { installation }: Parts,
  tx: Tx,
  amphora: Amphora,
  lb: LoadBalancer | null,
  caller: Caller,
): Promise<void> {
  const { id, status } = amphora;
  if (status === 'DELETED') {
    throw new AmphoraNotFit('AMPHORA_DELETED', `Amphora ${id} is DELETED: nothing waits for its isolation.`, { id });
  }
  if (await confirmations.isHeard(tx, id, installation.heartbeatTimeoutMs)) {
    const message =
      `Amphora ${id} was heard within the last ${installation.heartbeatTimeoutMs / 1000} s, so it is not isolated. ` +
      'Stop it or cut it off, wait until it is silent, then confirm again.';
    throw new AmphoraNotFit('AMPHORA_STILL_HEARD', message, { id });
  }
  await confirmations.confirm(tx, { amphoraId: id, author: caller.userId, requestId: caller.requestId });
  if (!lb) return;
  await events.append(tx, {
    loadBalancerId: lb.id,
    projectId: lb.projectId,
    author: caller.userId,
    requestId: caller.requestId,
    kind: 'amphora_fence_confirmed',
    objectKind: 'amphora',
    objectId: id,
    payload: {},
    traceparent: currentTraceContext().traceparent,
  });
}

/** Ends the wait of flows that wait for it. Returns the first of them. */
async function wake(tx: Tx, { id, seats }: Amphora): Promise<string | null> {
  const turns = [...seats.map(({ loadBalancerId }) => loadBalancerId), id];
  const waiting: FlowRecord[] = [];
  for (const turn of turns) {
    const open = await flows.open(tx, turn);
    waiting.push(...open.filter(({ lastError, direction }) => direction === 'DO' && lastError?.reason === REASON));
  }
  for (const flow of waiting) await flows.runNow(tx, flow.id);
  return waiting[0]?.id ?? null;
}

/** Starts again what gave up for it, unless something else has happened since. */
async function restart(
  parts: Parts,
  tx: Tx,
  amphora: Amphora,
  lb: LoadBalancer | null,
  caller: Caller,
): Promise<string | null> {
  const options = { deadlineMs: parts.policy.flowDeadlineMs };
  const by = { author: caller.userId, requestId: caller.requestId, ...currentTraceContext() };
  const [ofAmphora] = await flows.list(tx, { amphoraId: amphora.id }, 1);
  if (ofAmphora?.name === 'amphora.delete' && gaveUp(ofAmphora)) {
    const { projectId } = ofAmphora;
    const requester = { projectId, userId: caller.userId, requestId: caller.requestId };
    return flows.start(tx, deleteAmphora(amphora.id, requester, options));
  }
  if (!lb || isBeingDeleted(lb)) return null;
  const [last] = await flows.list(tx, { loadBalancerId: lb.id }, 1);
  if (!last || !gaveUp(last)) return null;
  const requester = { projectId: lb.projectId, userId: caller.userId, requestId: caller.requestId };
  if (last.name === 'amphora.failover' && last.amphoraId === amphora.id && amphora.status === 'ALLOCATED') {
    return flows.start(tx, failoverAmphora(amphora.id, lb.id, requester, options));
  }
  const action = last.name === 'load_balancer.delete' ? 'delete' : 'failover';
  const begun = begin(action, lb);
  if (action === 'delete') {
    await loadBalancers.markChildrenDeleting(tx, begun, by);
    await loadBalancers.update(tx, begun, {}, by);
  }
  const revision = {
    objectKind: 'load_balancer',
    objectId: lb.id,
    action: action === 'delete' ? 'DELETE' : 'FAILOVER',
    changes: {},
  } as const;
  return parts.changes.start(
    { tx, by },
    begun,
    revision,
    action === 'delete' ? deleteLoadBalancer : failoverLoadBalancer,
  );
}

function gaveUp({ state, lastError }: FlowRecord): boolean {
  return state === 'FAILED' && lastError?.reason === REASON;
}
