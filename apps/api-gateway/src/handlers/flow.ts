import { afterOf, Events, type Filters, type FlowRecord, Flows, LoadBalancers, pageToken, type Tx } from '@octavia/db';
import { type Caller, DomainError, type FlowState } from '@octavia/domain';
import type { FlowServiceService, ListFlowsRequest, ListFlowsResponse, Flow as Message } from '@octavia/proto';
import { currentTraceContext, type Handlers, serverStream, unary } from '@octavia/service';
import { requireAdmin } from '../authorize.ts';
import { readId, Violations } from '../check/violations.ts';
import type { Parts } from '../parts.ts';
import { readPageSize } from '../replies.ts';
import { wordOf } from '../translate/enums.ts';
import { writeFlow } from '../translate/flow.ts';
import { watchFlows } from './watch-flows.ts';

const flows = new Flows();
const events = new Events();
const loadBalancers = new LoadBalancers();

/** What an operator asks for cannot be done with the flow as it is. */
export class FlowNotFit extends DomainError {
  readonly kind = 'state';
  readonly reason: string;
  constructor(reason: 'FLOW_ENDED' | 'FLOW_RUNNING', message: string, id: string) {
    super(message, { id });
    this.reason = reason;
  }
}

export function flowHandlers(parts: Parts): Handlers<typeof FlowServiceService> {
  return {
    getFlow: unary(({ id }, { caller }) => get(parts, id, caller)),
    listFlows: unary((request, { caller }) => list(parts, request, caller)),
    watchFlows: serverStream((request, context) => watchFlows(parts, request, context)),
    cancelFlow: unary(({ id }, { caller }) => cancel(parts, id, caller)),
    retryFlow: unary(({ id }, { caller }) => retry(parts, id, caller)),
  };
}

async function get({ db }: Parts, text: string, caller: Caller): Promise<Message> {
  requireAdmin(caller, 'Reading flows');
  return read(db.reader, readId('id', text));
}

/** @throws NotFound */
async function read(tx: Tx, id: string): Promise<Message> {
  return writeFlow(await flows.get(tx, id), await flows.steps(tx, id));
}

async function list({ db }: Parts, request: ListFlowsRequest, caller: Caller): Promise<ListFlowsResponse> {
  requireAdmin(caller, 'Listing flows');
  const check = new Violations();
  const pageSize = readPageSize(request.pageSize, check);
  const loadBalancerId = check.optionalUuid('load_balancer_id', request.loadBalancerId);
  const amphoraId = check.optionalUuid('amphora_id', request.amphoraId);
  check.finish();
  const state = wordOf<FlowState>('FLOW_STATE_', request.state);
  const { openOnly } = request;
  const filters: Filters = {
    kind: 'flow',
    loadBalancerId,
    amphoraId,
    state,
    openOnly: String(openOnly),
    pageSize: String(pageSize),
  };
  const before = afterOf(request.pageToken, filters);
  // One more than asked for tells whether there is another page. Lists of the repository end at 1000, so ours do below.
  const size = Math.min(pageSize, LARGEST_PAGE);
  const filter = { loadBalancerId, amphoraId, state, onlyOpen: openOnly };
  const found = await flows.list(db.reader, filter, size + 1, before);
  const page = found.slice(0, size);
  const last = page.at(-1);
  return {
    flows: page.map((flow) => writeFlow(flow)),
    nextPageToken: found.length > size && last ? pageToken(last.id, filters) : '',
  };
}

const LARGEST_PAGE = 999;

async function cancel({ db }: Parts, text: string, caller: Caller): Promise<Message> {
  requireAdmin(caller, 'Cancelling a flow');
  const id = readId('id', text);
  return db.transaction(async (tx) => {
    const flow = await flows.get(tx, id);
    await tell(tx, flow, 'flow_cancel_requested', caller);
    if (!(await flows.requestStop(tx, id))) throw ended(flow);
    return read(tx, id);
  });
}

async function retry({ db }: Parts, text: string, caller: Caller): Promise<Message> {
  requireAdmin(caller, 'Retrying a flow');
  const id = readId('id', text);
  return db.transaction(async (tx) => {
    const flow = await flows.get(tx, id);
    await tell(tx, flow, 'flow_retry_requested', caller);
    const isWoken = await flows.runNow(tx, id);
    const now = await read(tx, id);
    if (now.finishedAt) throw ended(flow);
    if (!isWoken && now.state === 'FLOW_STATE_RUNNING') {
      const message = `Flow ${id} runs already. To begin anew, cancel it and repeat the change.`;
      throw new FlowNotFit('FLOW_RUNNING', message, id);
    }
    return now;
  });
}

/** Locks the load balancer, which comes before the flow's turn, and tells its watchers who did this. */
async function tell(tx: Tx, flow: FlowRecord, kind: string, caller: Caller): Promise<void> {
  if (flow.loadBalancerId === null || !(await loadBalancers.lock(tx, flow.loadBalancerId))) return;
  await events.append(tx, {
    loadBalancerId: flow.loadBalancerId,
    projectId: flow.projectId,
    author: caller.userId,
    requestId: caller.requestId,
    kind,
    objectKind: 'load_balancer',
    objectId: flow.loadBalancerId,
    payload: { flow: flow.name, flow_id: flow.id },
    traceparent: currentTraceContext().traceparent,
  });
}

function ended({ id, name }: FlowRecord): FlowNotFit {
  const message = `Flow ${id} (${name}) has ended. Repeat the change, or fail the load balancer over, to try again.`;
  return new FlowNotFit('FLOW_ENDED', message, id);
}
