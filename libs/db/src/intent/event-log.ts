import { DomainError, InvalidRequest, type Json } from '@octavia/domain';
import type { Tx } from '../core/database.ts';
import type { Scope } from './load-balancers.ts';

/** An event as it was recorded. */
export interface EventRecord {
  /** Its place in the order of all events, opaque. */
  readonly cursor: string;
  readonly loadBalancerId: string | null;
  /** From 1 within its load balancer; null for an event of none. */
  readonly number: bigint | null;
  readonly projectId: string;
  readonly author: string;
  readonly requestId: string;
  readonly kind: string;
  readonly objectKind: string;
  readonly objectId: string;
  readonly payload: Json;
  /** 32 hexadecimal digits; null without tracing. */
  readonly traceId: string | null;
  readonly createdAt: Date;
}

export interface EventQuery {
  readonly scope: Scope;
  /** Null: of all. */
  readonly loadBalancerId: string | null;
  /** Whether events of amphorae are told too. */
  readonly hasAmphorae: boolean;
  /** Cursors; empty: from the oldest, up to the newest. */
  readonly after: string;
  readonly before: string;
  readonly isNewestFirst: boolean;
  /** 1 to 1000. */
  readonly limit: number;
}

export interface EventPage {
  readonly events: readonly EventRecord[];
  /** Where the next page begins; empty on the last one. */
  readonly nextCursor: string;
  /** Up to where everything has been seen; empty when the page does not reach so far. */
  readonly endCursor: string;
}

/** Events after the cursor were purged, so the reader has missed some. */
export class CursorTooOld extends DomainError {
  readonly kind = 'range';
  readonly reason = 'CURSOR_TOO_OLD';
  constructor() {
    super('Events after this cursor are not kept any more. List again from the start, without a cursor.');
  }
}

/** A place in the order of events: transaction, then id, both in decimal. */
interface Place {
  readonly xact: string;
  readonly id: string;
}

/** Before every event, and after every event of a transaction. */
const START: Place = { xact: '0', id: '0' };
const LAST_ID = '9223372036854775807';

/**
 * Events in the order of (transaction, id), and only those of transactions below the oldest one that is under way: ids become
 * visible out of order, but nothing is added below that line any more. So whoever goes on after the last one misses none.
 */
export class EventLog {
  /** @throws CursorTooOld, InvalidRequest INVALID_CURSOR */
  async page(tx: Tx, query: EventQuery): Promise<EventPage> {
    const after = placeOf('after', query.after) ?? START;
    const before = placeOf('before', query.before);
    // One statement, so that its rows, the line and the horizon are of one snapshot.
    const rows: Row[] = await tx.query(
      `WITH line AS MATERIALIZED (SELECT pg_snapshot_xmin(pg_current_snapshot()) AS xmin)
       SELECT line.xmin, ($1::xid8, $2::bigint) < (horizon.xact, horizon.id) AS is_too_old, e.*
       FROM line CROSS JOIN event_horizon horizon LEFT JOIN LATERAL (
         SELECT xact, id, load_balancer_id, number, project_id, author, request_id, kind, object_kind, object_id, payload,
           traceparent, created_at
         FROM event
         WHERE (xact, id) > ($1::xid8, $2::bigint) AND xact < line.xmin
           AND ($3::xid8 IS NULL OR (xact, id) < ($3::xid8, $4::bigint))
           AND ($5::uuid IS NULL OR load_balancer_id = $5) AND ($6::text IS NULL OR project_id = $6)
           AND ($7 OR object_kind <> 'amphora')
         ORDER BY xact ${query.isNewestFirst ? 'DESC' : ''}, id ${query.isNewestFirst ? 'DESC' : ''} LIMIT $8
       ) e ON true`,
      [
        after.xact,
        after.id,
        before?.xact ?? null,
        before?.id ?? null,
        query.loadBalancerId,
        query.scope,
        query.hasAmphorae,
        query.limit + 1,
      ],
    );
    const [first] = rows;
    if (!first || (query.after !== '' && first.is_too_old)) throw new CursorTooOld();
    const found = rows.filter(isEvent).map(toRecord);
    const events = found.slice(0, query.limit);
    const hasMore = found.length > query.limit;
    const reachesEnd = before === null && (query.isNewestFirst || !hasMore);
    return {
      events,
      nextCursor: hasMore ? (events.at(-1)?.cursor ?? '') : '',
      endCursor: reachesEnd ? cursorBelow(first.xmin) : '',
    };
  }

  /** The cursor after everything that can be read now. */
  async end(tx: Tx): Promise<string> {
    const [row] = await tx.query('SELECT pg_snapshot_xmin(pg_current_snapshot()) AS xmin');
    return cursorBelow(row.xmin);
  }
}

interface Row {
  readonly xmin: string;
  readonly is_too_old: boolean;
  readonly xact: string | null;
}

interface EventRow extends Row {
  readonly xact: string;
  readonly id: string;
  readonly load_balancer_id: string | null;
  readonly number: string | null;
  readonly project_id: string;
  readonly author: string;
  readonly request_id: string;
  readonly kind: string;
  readonly object_kind: string;
  readonly object_id: string;
  readonly payload: Json;
  readonly traceparent: string | null;
  readonly created_at: Date;
}

function isEvent(row: Row): row is EventRow {
  return row.xact !== null;
}

function toRecord(row: EventRow): EventRecord {
  return {
    cursor: cursorOf(row),
    loadBalancerId: row.load_balancer_id,
    number: row.number === null ? null : BigInt(row.number),
    projectId: row.project_id,
    author: row.author,
    requestId: row.request_id,
    kind: row.kind,
    objectKind: row.object_kind,
    objectId: row.object_id,
    payload: row.payload,
    traceId: row.traceparent?.split('-')[1] ?? null,
    createdAt: row.created_at,
  };
}

/** After every event of the transactions below `xmin`. */
function cursorBelow(xmin: string): string {
  return cursorOf({ xact: String(BigInt(xmin) - 1n), id: LAST_ID });
}

function cursorOf({ xact, id }: Place): string {
  return Buffer.from(`${xact}.${id}`).toString('base64url');
}

/** Longest cursor of ours, in characters: two numbers of 64 bits and a dot, in base64. */
const MAX_CURSOR = 60;

/** Null: there is none. @throws InvalidRequest */
function placeOf(field: string, cursor: string): Place | null {
  if (cursor === '') return null;
  const text = cursor.length <= MAX_CURSOR ? Buffer.from(cursor, 'base64url').toString('latin1') : '';
  const [, xact, id] = /^(\d{1,20})\.(\d{1,19})$/.exec(text) ?? [];
  const isPlace = xact !== undefined && id !== undefined && BigInt(xact) < 2n ** 64n && BigInt(id) <= BigInt(LAST_ID);
  if (isPlace) return { xact, id };
  throw new InvalidRequest([{ field, description: 'is not one of our cursors', reason: 'INVALID_CURSOR' }]);
}
