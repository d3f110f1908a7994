import { isInternal } from '../haproxy/text.ts';
import type { Totals } from './counters.ts';
import type { Statistics, StatRow } from './statistics.ts';

/** Version of the message: statuses of pools at the top level, counters as differences. Source: Octavia's current agent. */
const MESSAGE_VERSION = 3;

export interface ListenerReport {
  readonly status: string;
  /** `conns` is the number of now, the others are differences to the heartbeat before. */
  readonly stats: Totals & { readonly conns: number };
}

export interface PoolReport {
  readonly status: string;
  /** Member id to HAProxy's status text. */
  readonly members: Readonly<Record<string, string>>;
}

export interface HeartbeatMessage {
  readonly id: string;
  readonly seq: number;
  readonly ver: typeof MESSAGE_VERSION;
  readonly listeners: Readonly<Record<string, ListenerReport>>;
  /** By `<pool id>:<listener id>`. */
  readonly pools: Readonly<Record<string, PoolReport>>;
  /** Random, of this start of the agent: with it, `seq` tells a late datagram from a new one. Others ignore it. */
  readonly boot: string;
  /** Wall clock of the sender, milliseconds since 1970. For people; others ignore it. */
  readonly time: number;
  /** Milliseconds since the agent started, on a clock that never jumps. Others ignore it. */
  readonly monotonic: number;
}

/** Totals by listener, with the worker that counted them. */
export function totalsOf({ worker, rows }: Statistics): Record<string, Totals & { worker: number }> {
  return Object.fromEntries(
    rows.filter(isFrontend).map((row) => {
      const { bout, bin, stot, ereq } = row;
      return [row.pxname, { tx: count(bout), rx: count(bin), totconns: count(stot), ereq: count(ereq), worker }];
    }),
  );
}

/** Reports of the listeners; `deltas` holds what `Counters.advance` made of the totals. */
export function listenerReports(rows: readonly StatRow[], deltas: Readonly<Record<string, Totals>>) {
  const none: Totals = { tx: 0, rx: 0, totconns: 0, ereq: 0 };
  return Object.fromEntries(
    rows.filter(isFrontend).map((row): [string, ListenerReport] => {
      const id = row.pxname ?? '';
      const { tx, rx, totconns, ereq } = deltas[id] ?? none;
      return [id, { status: row.status ?? '', stats: { tx, rx, conns: count(row.scur), totconns, ereq } }];
    }),
  );
}

/** Reports of the pools. @throws Error when a backend is not named `<pool id>:<listener id>` */
export function poolReports(rows: readonly StatRow[]): Record<string, PoolReport> {
  const pools: Record<string, { status: string; members: Record<string, string> }> = {};
  for (const row of rows) {
    const name = row.pxname ?? '';
    if (isInternal(name) || !(row.type === BACKEND || row.type === SERVER)) continue;
    if (name.split(':').length !== 2) throw new Error(`Backend ${name} is not named <pool>:<listener>`);
    const pool = pools[name] ?? { status: '', members: {} };
    pools[name] = pool;
    if (row.type === BACKEND) pool.status = row.status ?? '';
    else pool.members[row.svname ?? ''] = memberStatus(row);
  }
  return pools;
}

/** The message of one heartbeat. */
export function heartbeatMessage(parts: Omit<HeartbeatMessage, 'ver'>): HeartbeatMessage {
  const { id, seq, listeners, pools, boot, time, monotonic } = parts;
  return { id, seq, listeners, pools, ver: MESSAGE_VERSION, boot, time, monotonic };
}

/** Column `type` of `show stat`. */
const FRONTEND = '0';
const BACKEND = '1';
const SERVER = '2';

function isFrontend(row: StatRow): boolean {
  return row.type === FRONTEND && !isInternal(row.pxname ?? '');
}

/** A member that is up and gets no new work is sent as draining; other texts stay as HAProxy has them. */
function memberStatus({ status = '', weight }: StatRow): string {
  return status === 'UP' && weight === '0' ? 'DRAIN' : status;
}

/** A counter; HAProxy leaves some empty. Beyond 2^53 it stays at 2^53 - 1. */
function count(text: string | undefined): number {
  return Math.min(Number(text) || 0, Number.MAX_SAFE_INTEGER);
}
