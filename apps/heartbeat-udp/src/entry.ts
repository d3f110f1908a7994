/** What waits to be told about one amphora: its datagrams since the last batch, made into one. */
import {
  type HeartbeatMessage,
  type ListenerCounters,
  type StatusHash,
  type StatusReport,
  statusHash,
} from '@octavia/domain';

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
  status: StatusReport;
  hash: StatusHash;
  /** Bytes of the newest body: what the entry costs in memory and in a batch, roughly. */
  bytes: number;
  counters: EntryCounters[];
  datagrams: number;
  /** All of it may be a replay, or a sender without a boot id that has started again: its owner decides. */
  isSuspect: boolean;
}

export function entryOf(
  message: HeartbeatMessage,
  shard: number,
  bytes: number,
  nowMs: number,
  isSuspect: boolean,
): Entry {
  return {
    amphoraId: message.amphoraId,
    shard,
    receivedAtMs: nowMs,
    seq: message.seq,
    boot: message.boot,
    status: message.status,
    hash: statusHash(message.status),
    bytes,
    counters: message.counters.map((one) => ({ ...one, isTotal: message.hasTotals })),
    datagrams: 1,
    isSuspect,
  };
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
    else rest.push(before);
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
