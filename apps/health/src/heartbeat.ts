import type { ListenerTraffic } from '@octavia/db';
import type { StatusReport } from '@octavia/domain';

/** What one amphora said since the last batch of the same sender. */
export interface Heartbeat {
  readonly amphoraId: string;
  /** Milliseconds since the newest datagram arrived. */
  readonly ageMs: number;
  readonly seq: number;
  /** Names the start of the agent; empty when it does not tell. */
  readonly boot: string;
  readonly statusHash: bigint;
  /** Null: the sender believes that we know it. */
  readonly status: StatusReport | null;
  readonly traffic: readonly ListenerTraffic[];
  readonly datagrams: number;
}

export interface Batch {
  readonly senderId: string;
  /** Grows with each batch of the sender to this owner. */
  readonly number: bigint;
  readonly heartbeats: readonly Heartbeat[];
}

export interface BatchReply {
  /** Amphorae whose whole status is wanted. */
  readonly wantedStatuses: readonly string[];
  /** Shards in the batch that are not ours. */
  readonly notOwned: readonly number[];
}
