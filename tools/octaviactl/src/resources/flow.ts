/** What `flow …` does. For administrators. */
import { Flow, FlowState, FlowServiceService as service } from '@octavia/proto';
import { CliError } from '../errors.ts';
import { follow } from '../follow.ts';
import type { Action } from '../grammar.ts';
import { type Cell, formatList, formatObject, printable, type View } from '../output/format.ts';
import type { Session } from '../session.ts';
import { fromWord, toWord } from '../words.ts';
import { loadBalancers } from './load-balancer.ts';
import { find, orNull, timeView } from './resource.ts';

interface OfOptions {
  readonly loadbalancer?: string;
  readonly amphora?: string;
}

interface ListOptions extends OfOptions {
  readonly state?: string;
  readonly open?: true;
  readonly limit?: number;
}

const LIMIT = 100;
/** The contract's largest page. */
const PAGE_SIZE = 999;

const COLUMNS = [
  'id',
  'name',
  'state',
  'loadbalancer_id',
  'step',
  'attempt',
  'waiting_for',
  'last_error',
  'created_at',
];
const STEP_COLUMNS = ['name', 'state', 'attempts', 'started_at', 'finished_at', 'last_error'];

export const list: Action<ListOptions> = async (session, _args, options) => {
  const filter = {
    ...(await filterOf(session, options)),
    state: options.state === undefined ? FlowState.UNSPECIFIED : fromWord<FlowState>('FLOW_STATE', options.state),
    openOnly: options.open ?? false,
  };
  const limit = options.limit ?? LIMIT;
  const found: Flow[] = [];
  let pageToken = '';
  do {
    // Pages of one listing are of one size.
    const page = await session.call(service.listFlows, { ...filter, pageSize: Math.min(PAGE_SIZE, limit), pageToken });
    found.push(...page.flows);
    pageToken = page.nextPageToken;
  } while (pageToken !== '' && found.length < limit);
  const rows = found.slice(0, limit).map((flow) => view(flow));
  if (pageToken !== '') process.stderr.write(`Only the newest ${limit} are shown; there are more (--limit).\n`);
  await session.printList(rows, COLUMNS, Object.keys(view(Flow.create())));
};

export const show: Action<object> = async (session, [id = '']) => {
  const flow = await session.call(service.getFlow, { id });
  const steps = flow.steps.map(stepView);
  const { format, column } = session.globals;
  if (format !== 'table' || column) {
    await session.printObject({ ...view(flow), steps });
    return;
  }
  process.stdout.write(await formatObject(view(flow), { format }));
  process.stdout.write(await formatList(steps, STEP_COLUMNS, STEP_COLUMNS, { format }));
};

export const watch: Action<OfOptions> = async (session, [id = ''], options) => {
  const request = { id, ...(await filterOf(session, options)) };
  await follow(
    () => session.stream(service.watchFlows, request),
    (flow) => process.stdout.write(line(session, flow)),
  );
};

export const cancel: Action<object> = async (session, [id = '']) => {
  await printChange(session, await session.change(service.cancelFlow, { id }));
};

export const retry: Action<object> = async (session, [id = '']) => {
  await printChange(session, await session.change(service.retryFlow, { id }));
};

/**
 * Waits until a flow has ended well, and shows its progress on standard error.
 * @throws CliError with its last error when it ended otherwise, WAIT_TIMED_OUT when it takes too long
 */
export async function waitForFlow(session: Session, id: string, label: string, timeoutMs: number): Promise<void> {
  let last: Flow | undefined;
  let stream: { cancel(): void } | undefined;
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    stream?.cancel();
  }, timeoutMs);
  try {
    await follow(
      () => {
        const opened = session.stream(service.watchFlows, { id, loadBalancerId: '', amphoraId: '' });
        stream = opened;
        if (isLate) opened.cancel();
        return opened;
      },
      (flow) => {
        last = flow;
        process.stderr.write(line(session, flow));
      },
    );
  } catch (error) {
    if (!isLate) throw error;
  } finally {
    clearTimeout(timer);
  }
  if (last?.state === FlowState.SUCCEEDED) return;
  const details = { flow_id: id, trace_id: last?.traceId ?? '', request_id: session.requestId };
  if (isLate) {
    throw new CliError(`The flow for ${label} has not ended after ${timeoutMs / 1000} s.`, {
      reason: 'WAIT_TIMED_OUT',
      hint: `The flow goes on. Look at it with: octaviactl flow show ${id}`,
      details,
    });
  }
  const { reason = '', message = 'it gives no reason' } = last?.lastError ?? {};
  const state = last ? toWord('FLOW_STATE', last.state) : 'unknown';
  throw new CliError(`The flow for ${label} ended ${state}: ${message}`, {
    reason: reason || 'FLOW_NOT_SUCCEEDED',
    hint: `Look at its steps with: octaviactl flow show ${id}`,
    details,
  });
}

async function filterOf(
  session: Session,
  { loadbalancer, amphora = '' }: OfOptions,
): Promise<{ loadBalancerId: string; amphoraId: string }> {
  const loadBalancerId = loadbalancer === undefined ? '' : (await find(session, loadBalancers, loadbalancer)).id;
  return { loadBalancerId, amphoraId: amphora };
}

async function printChange(session: Session, flow: Flow): Promise<void> {
  const { id, name, state, stop_requested, next_try_at } = view(flow);
  await session.printObject({ id, name, state, stop_requested, next_try_at } as View);
}

function view(flow: Flow): View {
  return {
    id: flow.id,
    name: flow.name,
    state: toWord('FLOW_STATE', flow.state),
    loadbalancer_id: orNull(flow.loadBalancerId),
    amphora_id: orNull(flow.amphoraId),
    undoing: flow.undoing,
    step: orNull(flow.step),
    attempt: flow.attempt,
    waiting_for: orNull(flow.waitingFor),
    last_error: errorView(flow.lastError),
    next_try_at: timeView(flow.nextTryAt),
    deadline_at: timeView(flow.deadlineAt),
    stop_requested: orNull(flow.stopRequested),
    priority: flow.priority,
    version: flow.version,
    epoch: flow.epoch,
    lease_owner: orNull(flow.leaseOwner),
    project_id: flow.projectId,
    author: flow.author,
    request_id: flow.requestId,
    trace_id: orNull(flow.traceId),
    input: flow.input,
    created_at: timeView(flow.createdAt),
    started_at: timeView(flow.startedAt),
    finished_at: timeView(flow.finishedAt),
  };
}

function stepView(step: Flow['steps'][number]): View {
  return {
    name: step.name,
    state: toWord('FLOW_STEP_STATE', step.state),
    attempts: step.attempts,
    started_at: timeView(step.startedAt),
    finished_at: timeView(step.finishedAt),
    last_error: errorView(step.lastError),
    output: outputView(step.output),
  };
}

/** What programs get of it; a table has no room. */
function outputView(output: string): Cell {
  return output ? (JSON.parse(output) as Cell) : null;
}

function errorView(error: Flow['lastError']): string | null {
  return error ? `${error.message} [${error.reason}]` : null;
}

/** What a flow does just now, in one line. */
function line({ globals }: Session, flow: Flow): string {
  if (globals.format === 'json') return `${JSON.stringify(view(flow))}\n`;
  const of = flow.loadBalancerId || flow.amphoraId;
  const parts = [`${flow.name} ${of}: ${toWord('FLOW_STATE', flow.state)}`];
  const isOpen = !flow.finishedAt;
  if (isOpen && flow.undoing) parts.push('undoing');
  if (isOpen && flow.step) parts.push(`step ${flow.step}${flow.attempt > 1 ? ` (attempt ${flow.attempt})` : ''}`);
  if (isOpen && flow.waitingFor) parts.push(`waiting for ${flow.waitingFor}`);
  const error = errorView(flow.lastError);
  if (error && flow.state !== FlowState.SUCCEEDED) parts.push(`last error: ${error}`);
  return printable(parts.join(', ')).concat('\n');
}
