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

/** Keeps that a person has isolated the amphora, and lets go on what waits for that, or gave up for it: of all that it serves. */
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
    const served = await lockServed(tx, id);
    const amphora = await amphorae.get(tx, id, { lock: true });
    if (!isRepeated) await confirm(parts, tx, amphora, served, caller);
    const woken = await wake(tx, amphora);
    const started = isRepeated ? [] : await restart(parts, tx, amphora, served, woken, caller);
    const flowIds = [...woken.map((flow) => flow.id), ...started];
    return { amphora: await readAmphora(tx, id), flowId: flowIds[0] ?? '', flowIds };
  });
}

/** The load balancers that have a seat on the amphora, locked. */
async function lockServed(tx: Tx, id: string): Promise<LoadBalancer[]> {
  const { seats } = await amphorae.get(tx, id);
  const served: LoadBalancer[] = [];
  // By id, as everywhere: who locks several in the same order never waits for one who waits for it.
  for (const loadBalancerId of seats.map((seat) => seat.loadBalancerId).sort()) {
    const lb = await loadBalancers.lock(tx, loadBalancerId);
    if (lb) served.push(lb);
  }
  return served;
}

async function confirm(
  { installation }: Parts,
  tx: Tx,
  { id, status }: Amphora,
  served: readonly LoadBalancer[],
  caller: Caller,
): Promise<void> {
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
  for (const lb of served) {
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
}

/** Ends the wait of flows that wait for it, and returns them. */
async function wake(tx: Tx, { id, seats }: Amphora): Promise<FlowRecord[]> {
  const waiting: FlowRecord[] = [];
  for (const turn of [...seats.map(({ loadBalancerId }) => loadBalancerId), id]) {
    const open = await flows.open(tx, turn);
    waiting.push(...open.filter(({ lastError, direction }) => direction === 'DO' && lastError?.reason === REASON));
  }
  for (const flow of waiting) await flows.runNow(tx, flow.id);
  return waiting;
}

/** Starts again what gave up for it, for each load balancer of which nothing goes on and nothing else has happened since. */
async function restart(
  parts: Parts,
  tx: Tx,
  amphora: Amphora,
  served: readonly LoadBalancer[],
  woken: readonly FlowRecord[],
  caller: Caller,
): Promise<string[]> {
  const ofAmphora = woken.length > 0 ? null : await restartOfAmphora(parts, tx, amphora.id, caller);
  if (ofAmphora !== null) return [ofAmphora];
  const started: string[] = [];
  for (const lb of served) {
    if (woken.some(({ loadBalancerId }) => loadBalancerId === lb.id)) continue;
    const flow = await restartOf(parts, tx, amphora, lb, caller);
    if (flow !== null) started.push(flow);
  }
  return started;
}

/** What takes the amphora away, or one load balancer off it. */
async function restartOfAmphora({ policy }: Parts, tx: Tx, id: string, caller: Caller): Promise<string | null> {
  const [last] = await flows.list(tx, { amphoraId: id }, 1);
  if (last?.name !== 'amphora.delete' || !gaveUp(last)) return null;
  const requester = { projectId: last.projectId, userId: caller.userId, requestId: caller.requestId };
  return flows.start(tx, deleteAmphora(id, requester, { deadlineMs: policy.flowDeadlineMs }));
}

async function restartOf(
  parts: Parts,
  tx: Tx,
  amphora: Amphora,
  lb: LoadBalancer,
  caller: Caller,
): Promise<string | null> {
  if (isBeingDeleted(lb)) return null;
  const [last] = await flows.list(tx, { loadBalancerId: lb.id }, 1);
  if (!last || !gaveUp(last)) return null;
  const options = { deadlineMs: parts.policy.flowDeadlineMs };
  const requester = { projectId: lb.projectId, userId: caller.userId, requestId: caller.requestId };
  if (last.name === 'amphora.failover' && last.amphoraId === amphora.id && amphora.status === 'ALLOCATED') {
    return flows.start(tx, failoverAmphora(amphora.id, lb.id, requester, options));
  }
  const by = { author: caller.userId, requestId: caller.requestId, ...currentTraceContext() };
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
