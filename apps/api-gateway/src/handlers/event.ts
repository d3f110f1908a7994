import { EVENT_CHANNEL, EventLog, type EventQuery } from '@octavia/db';
import type { Caller } from '@octavia/domain';
import type {
  EventServiceService,
  ListEventsRequest,
  ListEventsResponse,
  Event as Message,
  WatchEventsRequest,
} from '@octavia/proto';
import { type Handlers, type StreamContext, serverStream, unary } from '@octavia/service';
import { readScope } from '../authorize.ts';
import { Violations } from '../check/violations.ts';
import type { Parts } from '../parts.ts';
import { readPageSize } from '../replies.ts';
import { writeEvent } from '../translate/event.ts';
import { WakeUp } from '../wake-up.ts';

/** A notification may be lost, and comes before an older transaction has ended, which holds events back: look this often, ms. */
const POLL_MS = 1_000;
const SOON_MS = 100;
/** So many times soon after a notification. */
const SOON_TIMES = 10;
/** Events that are read at once for a watcher. */
const WATCH_PAGE = 200;

const log = new EventLog();

export function eventHandlers(parts: Parts): Handlers<typeof EventServiceService> {
  return {
    listEvents: unary((request, { caller }) => list(parts, request, caller)),
    watchEvents: serverStream((request, context) => watch(parts, request, context)),
  };
}

async function list({ db }: Parts, request: ListEventsRequest, caller: Caller): Promise<ListEventsResponse> {
  const check = new Violations();
  const limit = readPageSize(request.pageSize, check);
  const who = readWho(request.loadBalancerId, caller, check);
  check.finish();
  const { after, before, newestFirst } = request;
  const query: EventQuery = { ...who, after, before, isNewestFirst: newestFirst, limit };
  const { events, nextCursor, endCursor } = await log.page(db.reader, query);
  return { events: events.map(writeEvent), nextCursor, endCursor };
}

/** Whose events, and of what: those of amphorae are not for tenants. */
function readWho(
  loadBalancerId: string,
  caller: Caller,
  check: Violations,
): Pick<EventQuery, 'scope' | 'loadBalancerId' | 'hasAmphorae'> {
  const scope = readScope(caller, 'Reading events');
  return { scope, loadBalancerId: check.optionalUuid('load_balancer_id', loadBalancerId), hasAmphorae: scope === null };
}

async function watch(
  { db }: Parts,
  request: WatchEventsRequest,
  { caller, signal, send }: StreamContext<Message>,
): Promise<void> {
  const check = new Violations();
  const who = readWho(request.loadBalancerId, caller, check);
  check.finish();
  const wakeUp = new WakeUp(signal);
  let soon = 0;
  const unlisten = await db.notifications.listen(EVENT_CHANNEL, (payload) => {
    if (payload !== null && who.loadBalancerId !== null && payload !== who.loadBalancerId) return;
    soon = SOON_TIMES;
    wakeUp.ring();
  });
  try {
    let after = request.after || (await log.end(db.reader));
    while (!signal.aborted) {
      wakeUp.reset();
      const query: EventQuery = { ...who, after, before: '', isNewestFirst: false, limit: WATCH_PAGE };
      const { events, nextCursor, endCursor } = await log.page(db.reader, query);
      for (const event of events) await send(writeEvent(event));
      after = nextCursor || endCursor;
      if (nextCursor === '') await wakeUp.wait(soon-- > 0 ? SOON_MS : POLL_MS);
    }
  } finally {
    unlisten();
  }
}
