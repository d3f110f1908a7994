import type { ListenerTraffic, ShardRange } from '@octavia/db';
import { type FieldViolation, InvalidRequest, type StatusReport } from '@octavia/domain';
import {
  type Heartbeat as HeartbeatMessage,
  type ListenerCounters,
  type ReportHeartbeatsRequest,
  type ReportHeartbeatsResponse,
  StatusReport as ReportMessage,
  type ShardMap,
} from '@octavia/proto';
import type { Batch, BatchReply, Heartbeat } from '../heartbeat.ts';

/** Most heartbeats of a batch. Source: the contract. */
const MAX_HEARTBEATS = 1000;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** @throws InvalidRequest when the batch as a whole is wrong; a heartbeat or listener with a bad id is left out */
export function toBatch({ senderId, number, heartbeats }: ReportHeartbeatsRequest): Batch {
  const violations: FieldViolation[] = [];
  if (!UUID.test(senderId)) {
    violations.push({ field: 'sender_id', description: 'must be a UUID in lower case', reason: 'INVALID_UUID' });
  }
  if (heartbeats.length > MAX_HEARTBEATS) {
    const description = `must have at most ${MAX_HEARTBEATS} entries`;
    violations.push({ field: 'heartbeats', description, reason: 'TOO_MANY' });
  }
  if (violations.length > 0) throw new InvalidRequest(violations);
  return { senderId, number, heartbeats: heartbeats.filter(({ amphoraId }) => UUID.test(amphoraId)).map(toHeartbeat) };
}

function toHeartbeat(message: HeartbeatMessage): Heartbeat {
  const { amphoraId, ageMs, seq, boot, statusHash, status, counters, datagrams } = message;
  return {
    amphoraId,
    ageMs,
    seq: Number(seq),
    boot,
    statusHash,
    status: status ? toReport(status) : null,
    traffic: counters.filter(({ listenerId }) => UUID.test(listenerId)).map((one) => toTraffic(amphoraId, one)),
    datagrams,
  };
}

function toTraffic(amphoraId: string, counters: ListenerCounters): ListenerTraffic {
  const { listenerId, absolute, bytesIn, bytesOut, totalConnections, requestErrors, activeConnections } = counters;
  return {
    amphoraId,
    listenerId,
    isAbsolute: absolute,
    bytesIn,
    bytesOut,
    totalConnections,
    requestErrors,
    activeConnections,
  };
}

function toReport({ listeners, pools }: ReportMessage): StatusReport {
  return { listeners, pools };
}

/** A report in as few bytes as we can: one is kept for each amphora. */
export function encodeReport({ listeners, pools }: StatusReport): Uint8Array {
  return ReportMessage.encode({ listeners: { ...listeners }, pools: mutable(pools) }).finish();
}

export function decodeReport(encoded: Uint8Array): StatusReport {
  return toReport(ReportMessage.decode(encoded));
}

function mutable(pools: StatusReport['pools']): ReportMessage['pools'] {
  return Object.fromEntries(
    Object.entries(pools).map(([id, { status, members }]) => [id, { status, members: { ...members } }]),
  );
}

export function toReply({ wantedStatuses, notOwned }: BatchReply): ReportHeartbeatsResponse {
  return { wantedStatuses: [...wantedStatuses], notOwned: [...notOwned] };
}

export function toShardMap(ranges: readonly ShardRange[]): ShardMap {
  return { ranges: ranges.map(({ first, last, owner, epoch }) => ({ first, last, owner, epoch })) };
}
