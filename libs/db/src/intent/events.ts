import type { Json, ObjectKind } from '@octavia/domain';
import type { Tx } from '../core/database.ts';

/** Channel on which the id of a load balancer tells that something happened to it. */
export const EVENT_CHANNEL = 'event';

export interface NewEvent {
  readonly loadBalancerId: string;
  readonly projectId: string;
  readonly author: string;
  readonly requestId: string;
  /** Such as `provisioning_status_changed`. */
  readonly kind: string;
  readonly objectKind: ObjectKind | 'amphora';
  readonly objectId: string;
  /** What a watcher or operator should know; never a secret. */
  readonly payload: Json;
  readonly traceparent?: string | undefined;
}

/** What happened, numbered per load balancer. */
export class Events {
  /**
   * Appends one event and tells the listeners of channel `event`. Takes the load balancer's row lock, which gives the
   * number: no two events of a load balancer share one, and they become visible in their order.
   */
  async append(tx: Tx, event: NewEvent): Promise<void> {
    await tx.query(
      `WITH numbered AS (UPDATE load_balancer SET last_event = last_event + 1 WHERE id = $1 RETURNING last_event),
       appended AS (
         INSERT INTO event (load_balancer_id, number, project_id, author, request_id, kind, object_kind, object_id, payload, traceparent)
         SELECT $1, last_event, $2, $3, $4, $5, $6, $7, $8, $9 FROM numbered)
       SELECT pg_notify('${EVENT_CHANNEL}', $1::uuid::text)`,
      [
        event.loadBalancerId,
        event.projectId,
        event.author,
        event.requestId,
        event.kind,
        event.objectKind,
        event.objectId,
        JSON.stringify(event.payload),
        event.traceparent ?? null,
      ],
    );
  }
}
