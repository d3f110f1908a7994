import { type StatusReport, statusHashBits } from '@octavia/domain';
import type { Heartbeat, ReportHeartbeatsRequest } from '@octavia/proto';
import type { Entry } from './entry.ts';
import { statusOf } from './opener.ts';

/** Entries of a batch. Source: the contract. */
export const LARGEST_BATCH = 1000;
/** Bytes of a batch, roughly: half of what gRPC takes in one message. One entry alone stays below that too. */
const LARGEST_BATCH_BYTES = 2_097_152;
/** Bytes of an entry without counters and status, and of one listener's counters, at the most. */
const ENTRY_BYTES = 160;
const COUNTERS_BYTES = 100;

/** A numbered batch. Whatever happens to it, it is never sent with another content under its number. */
export interface Batch {
  readonly number: bigint;
  readonly entries: readonly Entry[];
  /** Those whose whole status goes along. */
  readonly statuses: ReadonlyMap<Entry, StatusReport>;
}

/** Takes the oldest entries out of `pending`, as many as fit. At least one, where there is one. */
export function takeBatch(number: bigint, pending: Map<string, Entry>, needsStatus: (entry: Entry) => boolean): Batch {
  const entries: Entry[] = [];
  const statuses = new Map<Entry, StatusReport>();
  let bytes = 0;
  for (const [id, entry] of pending) {
    if (entries.length === LARGEST_BATCH) break;
    const hasStatus = needsStatus(entry);
    // Encoded, a status is as long as its JSON text.
    bytes += ENTRY_BYTES + entry.counters.length * COUNTERS_BYTES + (hasStatus ? entry.body.length : 0);
    if (bytes > LARGEST_BATCH_BYTES && entries.length > 0) break;
    const status = hasStatus ? statusOf(entry.body) : undefined;
    if (status) statuses.set(entry, status);
    entries.push(entry);
    pending.delete(id);
  }
  return { number, entries, statuses };
}

/**
 * The batch as a message. Only the ages differ from one try to the next: they are relative to the moment of sending, and
 * an old one sent again would make an amphora look younger than it is.
 */
export function requestOf(senderId: string, batch: Batch, nowMs: number): ReportHeartbeatsRequest {
  const heartbeats = batch.entries.map((entry) => heartbeatOf(entry, batch.statuses.get(entry), nowMs));
  return { senderId, number: batch.number, heartbeats };
}

function heartbeatOf(entry: Entry, status: StatusReport | undefined, nowMs: number): Heartbeat {
  return {
    amphoraId: entry.amphoraId,
    ageMs: Math.min(Math.max(0, Math.round(nowMs - entry.receivedAtMs)), 0xffff_ffff),
    seq: BigInt(entry.seq),
    boot: entry.boot,
    statusHash: statusHashBits(entry.hash),
    status: status as Heartbeat['status'],
    counters: entry.counters.map((counters) => ({
      listenerId: counters.listenerId,
      absolute: counters.isTotal,
      bytesIn: BigInt(counters.bytesIn),
      bytesOut: BigInt(counters.bytesOut),
      totalConnections: BigInt(counters.totalConnections),
      requestErrors: BigInt(counters.requestErrors),
      activeConnections: BigInt(counters.activeConnections),
    })),
    datagrams: entry.datagrams,
  };
}
