/** What an amphora says, whatever its version: the body of a heartbeat, checked and brought into one form. */

/** The status part, with plain ids as keys and HAProxy's words as values. */
export interface StatusReport {
  /** Listener id to OPEN, FULL or another word. */
  readonly listeners: Readonly<Record<string, string>>;
  /** Pool id to its report. */
  readonly pools: Readonly<Record<string, PoolReport>>;
}

export interface PoolReport {
  /** UP, DOWN or another word. */
  readonly status: string;
  /** Member id to UP, `UP 1/2`, DOWN, DRAIN, MAINT, `no check` or another word. */
  readonly members: Readonly<Record<string, string>>;
}

/** Traffic of one listener. Counts above 2^53 - 1 are cut to it. */
export interface ListenerCounters {
  readonly listenerId: string;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly totalConnections: number;
  readonly requestErrors: number;
  /** At the moment of sending; the other four are differences or totals. */
  readonly activeConnections: number;
}

export interface HeartbeatMessage {
  /** UUID in lower case. */
  readonly amphoraId: string;
  /** Counter of the sender, from 0 at each start of it. Cut to 2^53 - 1. */
  readonly seq: number;
  /** Of the sender's start where it tells one (our agent), else empty. */
  readonly boot: string;
  readonly status: StatusReport;
  /** Whether the counters are totals (before version 3), not differences since the heartbeat before. */
  readonly hasTotals: boolean;
  readonly counters: readonly ListenerCounters[];
}

/** Why a body is refused: a field that is not what it must be, or more objects than a load balancer has. */
export type HeartbeatFault = 'bad_field' | 'too_large';

/** Versions before this one nest the pools in their listeners. Source: Octavia. */
const FIRST_VERSION_WITH_POOLS = 2;
/** Versions from this one on send differences. Source: Octavia. */
const FIRST_VERSION_WITH_DIFFERENCES = 3;
/** Listeners, pools and members of one heartbeat: about four times what an honest datagram of 64 KiB can name. */
const MOST_OBJECTS = 10_000;
/** Characters of a key or a word: a key has at most two UUIDs and a colon. */
const LONGEST_TEXT = 80;

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

type Fields = Record<string, unknown>;

/** Checks the body of a heartbeat, which is JSON already. Unknown fields are ignored. */
export function readHeartbeat(body: object): HeartbeatMessage | HeartbeatFault {
  const { id, seq, ver = 0, boot, listeners, pools } = body as Fields;
  if (typeof id !== 'string' || !UUID.test(id)) return 'bad_field';
  if (!isCount(seq) || !isCount(ver) || !isFields(listeners)) return 'bad_field';
  // The default of `ver` differs: without it the pools are nested and the counters are totals, so one value serves both.
  const reader = new BodyReader();
  if (!reader.readListeners(listeners, ver < FIRST_VERSION_WITH_POOLS)) return reader.fault;
  if (ver >= FIRST_VERSION_WITH_POOLS && !reader.readPools(pools, true)) return reader.fault;
  return {
    amphoraId: id,
    seq: cut(seq),
    boot: typeof boot === 'string' && boot.length <= LONGEST_TEXT ? boot : '',
    status: { listeners: reader.listeners, pools: reader.pools },
    hasTotals: ver < FIRST_VERSION_WITH_DIFFERENCES,
    counters: reader.counters,
  };
}

class BodyReader {
  readonly listeners: Record<string, string> = {};
  readonly pools: Record<string, PoolReport> = {};
  readonly counters: ListenerCounters[] = [];
  fault: HeartbeatFault = 'bad_field';
  #objects = 0;

  readListeners(listeners: Fields, nestsPools: boolean): boolean {
    for (const id in listeners) {
      const listener = listeners[id];
      if (!isFields(listener) || !isText(listener.status) || !this.#count(id)) return false;
      this.listeners[id] = listener.status;
      if (listener.stats !== undefined && !this.#readCounters(id, listener.stats)) return false;
      if (nestsPools && listener.pools !== undefined && !this.readPools(listener.pools, false)) return false;
    }
    return true;
  }

  /** @param lastWins which report of a pool under several listeners stays: the last, or the first (versions 0 and 1) */
  readPools(pools: unknown, lastWins: boolean): boolean {
    if (!isFields(pools)) return false;
    for (const key in pools) {
      const pool = pools[key];
      if (!isFields(pool) || !isText(pool.status) || !isFields(pool.members) || !this.#count(key)) return false;
      for (const id in pool.members) {
        if (!isText(pool.members[id]) || !this.#count(id)) return false;
      }
      const colon = key.lastIndexOf(':');
      const id = colon < 0 ? key : key.slice(0, colon);
      if (lastWins || !Object.hasOwn(this.pools, id)) this.pools[id] = pool as unknown as PoolReport;
    }
    return true;
  }

  #readCounters(listenerId: string, stats: unknown): boolean {
    if (!isFields(stats)) return false;
    const { rx, tx, totconns, ereq, conns } = stats;
    if (!isCount(rx) || !isCount(tx) || !isCount(totconns) || !isCount(ereq) || !isCount(conns)) return false;
    this.counters.push({
      listenerId,
      bytesIn: cut(rx),
      bytesOut: cut(tx),
      totalConnections: cut(totconns),
      requestErrors: cut(ereq),
      activeConnections: cut(conns),
    });
    return true;
  }

  #count(key: string): boolean {
    this.#objects += 1;
    if (this.#objects > MOST_OBJECTS) this.fault = 'too_large';
    return this.#objects <= MOST_OBJECTS && key.length <= LONGEST_TEXT;
  }
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value.length <= LONGEST_TEXT;
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && value >= 0 && Number.isInteger(value);
}

function cut(count: number): number {
  return count > Number.MAX_SAFE_INTEGER ? Number.MAX_SAFE_INTEGER : count;
}
