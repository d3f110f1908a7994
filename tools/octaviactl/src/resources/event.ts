/** What `events` does. */
import { Event, EventServiceService as service } from '@octavia/proto';
import { CliError } from '../errors.ts';
import { follow } from '../follow.ts';
import type { Action } from '../grammar.ts';
import { type Cell, printable, type View } from '../output/format.ts';
import type { Session } from '../session.ts';
import { loadBalancers } from './load-balancer.ts';
import { find, isUuid, orNull, timeView } from './resource.ts';

interface EventOptions {
  readonly follow?: true;
  readonly limit?: number;
}

const LIMIT = 50;
/** The contract's largest page. */
const PAGE_SIZE = 1000;

const COLUMNS = ['happened_at', 'message', 'author'];

export const events: Action<EventOptions> = async (session, [reference = ''], options) => {
  const loadBalancerId = reference === '' ? '' : await idOf(session, reference);
  const { newest, endCursor } = await readNewest(session, loadBalancerId, options.limit ?? LIMIT);
  if (!options.follow) {
    await session.printList(newest.map(view), COLUMNS, Object.keys(view(Event.create())));
    return;
  }
  const show = (event: Event) => process.stdout.write(line(session, event));
  newest.forEach(show);
  let after = endCursor;
  await follow(
    () => session.stream(service.watchEvents, { loadBalancerId, after }),
    (event) => {
      after = event.cursor;
      show(event);
    },
  );
};

/** Oldest first. */
async function readNewest(
  session: Session,
  loadBalancerId: string,
  limit: number,
): Promise<{ newest: Event[]; endCursor: string }> {
  const found: Event[] = [];
  let endCursor = '';
  let before = '';
  do {
    const pageSize = Math.min(PAGE_SIZE, limit - found.length);
    const request = { loadBalancerId, after: '', before, newestFirst: true, pageSize };
    const page = await session.call(service.listEvents, request);
    found.push(...page.events);
    endCursor ||= page.endCursor;
    before = page.nextCursor;
  } while (before !== '' && found.length < limit);
  return { newest: found.reverse(), endCursor };
}

/** A deleted load balancer is found no more, but its events are: by its id. */
async function idOf(session: Session, reference: string): Promise<string> {
  try {
    return (await find(session, loadBalancers, reference)).id;
  } catch (error) {
    const isGone = error instanceof CliError && error.reason === 'LOAD_BALANCER_NOT_FOUND';
    if (isGone && isUuid(reference)) return reference.toLowerCase();
    throw error;
  }
}

function view(event: Event): View {
  return {
    happened_at: timeView(event.happenedAt),
    message: event.message,
    kind: event.kind,
    loadbalancer_id: orNull(event.loadBalancerId),
    number: Number(event.number),
    object_kind: event.objectKind,
    object_id: event.objectId,
    author: event.author,
    project_id: event.projectId,
    request_id: event.requestId,
    trace_id: orNull(event.traceId),
    payload: (event.payload ?? null) as Cell,
  };
}

/** One line for each event: as JSON, or to read. */
function line({ globals }: Session, event: Event): string {
  if (globals.format === 'json') return `${JSON.stringify(view(event))}\n`;
  return printable(`${timeView(event.happenedAt)}  ${event.message}`).concat('\n');
}
