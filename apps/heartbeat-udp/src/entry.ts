/** What waits to be told about one amphora: its datagrams since the last batch, made into one. */
import type { ListenerCounters, StatusHash } from '@octavia/domain';
import type { Opened } from './opener.ts';

/** Listeners whose counters are summed while datagrams of one amphora wait. More cannot be honest; the newest datagram's all count. */
const MOST_SUMMED = 1_000;

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

export interface EntryCounters extends Mutable<ListenerCounters> {
  /** Totals that replace, not differences to add. */
  isTotal: boolean;
}

export interface Entry {
  readonly amphoraId: string;
  readonly shard: number;
  /** Of the newest datagram, by the monotonic clock, in milliseconds. */
  receivedAtMs: number;
  seq: number;
  boot: string;
  hash: StatusHash;
  /** Newest JSON text, to read the status part from: shorter than the objects that it makes, and most are never wanted. */
  body: Buffer;
  counters: EntryCounters[];
  datagrams: number;
  /** All of it may be a replay, or a sender without a boot id that has started again: its owner decides. */
  isSuspect: boolean;
}

export function entryOf(heartbeat: Opened, shard: number, nowMs: number, isSuspect: boolean): Entry {
  return {
    amphoraId: heartbeat.amphoraId,
    shard,
    receivedAtMs: nowMs,
    seq: heartbeat.seq,
    boot: heartbeat.boot,
    hash: heartbeat.hash,
    body: Buffer.from(heartbeat.body),
    counters: heartbeat.counters.map((one) => entryCounters(one, heartbeat.hasTotals)),
    datagrams: 1,
    isSuspect,
  };
}

function entryCounters(counters: ListenerCounters, isTotal: boolean): EntryCounters {
  const { listenerId, bytesIn, bytesOut, totalConnections, requestErrors, activeConnections } = counters;
  return { listenerId, isTotal, bytesIn, bytesOut, totalConnections, requestErrors, activeConnections };
}

/** Adds to `newer` what only `older` of the same amphora says: differences are summed, totals are the newest. */
export function merge(older: Entry, newer: Entry): void {
  // The usual case: the same listeners in the same order.
  const rest: EntryCounters[] = [];
  for (let i = 0; i < older.counters.length; i++) {
    const before = older.counters[i];
    if (!before) continue;
    const at = newer.counters[i];
    const after = at?.listenerId === before.listenerId ? at : newer.counters.find(sameListener, before);
    if (after) addBefore(after, before);
    else if (newer.counters.length + rest.length < MOST_SUMMED) rest.push(before);
  }
  newer.counters.push(...rest);
  newer.datagrams += older.datagrams;
}

function sameListener(this: EntryCounters, other: EntryCounters): boolean {
  return other.listenerId === this.listenerId;
}

function addBefore(after: EntryCounters, before: EntryCounters): void {
  if (after.isTotal) return;
  after.isTotal = before.isTotal;
  after.bytesIn = sum(after.bytesIn, before.bytesIn);
  after.bytesOut = sum(after.bytesOut, before.bytesOut);
  after.totalConnections = sum(after.totalConnections, before.totalConnections);
  after.requestErrors = sum(after.requestErrors, before.requestErrors);
}

function sum(a: number, b: number): number {
  return Math.min(a + b, Number.MAX_SAFE_INTEGER);
}
