import type { Action, Delta, Json, LoadBalancer, ObjectKind, RecordedChange, TraceContext } from '@octavia/domain';
import type { Tx } from '../core/database.ts';
import { EVENT_CHANNEL } from './events.ts';

/** Who made a change. */
export interface ChangedBy {
  /** User id. */
  readonly author: string;
  readonly requestId: string;
  /** W3C trace context of the request. */
  readonly traceparent?: string | undefined;
}

export interface NewRevision {
  readonly objectKind: ObjectKind;
  readonly objectId: string;
  readonly action: Action;
  readonly changes: Delta;
}

/** A change with who made it, and when. */
export interface RevisionRecord extends RecordedChange {
  readonly author: string;
  readonly requestId: string;
  readonly createdAt: Date;
  /** W3C trace context of the request; null without tracing. */
  readonly traceparent: string | null;
}

const RECORDED = `number, object_kind AS "objectKind", object_id AS "objectId", action, changes`;

/** Every change that callers made, in order within their load balancer; never updated. */
export class Revisions {
  /** Trace contexts of the requests that made the changes from `above` (not included) to `upTo`, each once, without `except`. */
  async traceContexts(
    tx: Tx,
    loadBalancerId: string,
    which: { readonly above: number; readonly upTo: number; readonly except: string; readonly limit: number },
  ): Promise<TraceContext[]> {
    return tx.query(
      `SELECT DISTINCT traceparent FROM revision
       WHERE load_balancer_id = $1 AND number > $2 AND number <= $3 AND traceparent <> $4 LIMIT $5`,
      [loadBalancerId, which.above, which.upTo, which.except, which.limit],
    );
  }

  /** Changes from `above` (not included) to `upTo`, oldest first. What was purged is missing at the beginning. */
  between(tx: Tx, loadBalancerId: string, above: number, upTo: number): Promise<RecordedChange[]> {
    return tx.query(
      `SELECT ${RECORDED} FROM revision WHERE load_balancer_id = $1 AND number > $2 AND number <= $3 ORDER BY number`,
      [loadBalancerId, above, upTo],
    );
  }

  /** Newest first. @param which `before`: only those with a smaller number; `objectId`: only changes of this object; null: all */
  list(
    tx: Tx,
    loadBalancerId: string,
    which: { readonly before: number | null; readonly objectId: string | null; readonly limit: number },
  ): Promise<RevisionRecord[]> {
    return tx.query(
      `SELECT ${RECORDED}, author, request_id AS "requestId", created_at AS "createdAt", traceparent FROM revision
       WHERE load_balancer_id = $1 AND ($2::integer IS NULL OR number < $2) AND ($3::uuid IS NULL OR object_id = $3)
       ORDER BY number DESC LIMIT $4`,
      [loadBalancerId, which.before, which.objectId, which.limit],
    );
  }

  /** Writes a revision alone: the caller has locked the load balancer, and writes its number there. */
  async insert(tx: Tx, loadBalancerId: string, number: number, revision: NewRevision, by: ChangedBy): Promise<void> {
    const { objectKind, objectId, action, changes } = revision;
    await tx.query(
      `INSERT INTO revision (load_balancer_id, number, author, request_id, object_kind, object_id, action, changes, traceparent)
       VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
      [
        loadBalancerId,
        number,
        by.author,
        by.requestId,
        objectKind,
        objectId,
        action,
        JSON.stringify(changes),
        by.traceparent ?? null,
      ],
    );
  }

  /**
   * Ends a change that `LoadBalancers.begin` or `insert` began: writes the load balancer's status and newest revision, the
   * revision itself and its event, in one statement. The changed object has its new values by then.
   */
  async append(tx: Tx, begun: LoadBalancer, revision: NewRevision, by: ChangedBy): Promise<void> {
    const payload: Json = {
      action: revision.action,
      revision: begun.desiredRevision,
      load_balancer_provisioning_status: begun.provisioningStatus,
    };
    await tx.query(
      `WITH begun AS (
         UPDATE load_balancer SET provisioning_status = $2, desired_revision = $3, last_event = last_event + 1,
           fault_reason = NULL, fault_message = NULL
         WHERE id = $1 RETURNING last_event, project_id),
       appended AS (
         INSERT INTO revision (load_balancer_id, number, author, request_id, object_kind, object_id, action, changes, traceparent)
         VALUES ($1, $3, $4, $5, $6, $7, $8, $9, $10)),
       told AS (
         INSERT INTO event (load_balancer_id, number, project_id, author, request_id, kind, object_kind, object_id, payload, traceparent)
         SELECT $1, last_event, project_id, $4, $5, 'changed', $6, $7, $11, $10 FROM begun)
       SELECT pg_notify('${EVENT_CHANNEL}', $1::uuid::text)`,
      [
        begun.id,
        begun.provisioningStatus,
        begun.desiredRevision,
        by.author,
        by.requestId,
        revision.objectKind,
        revision.objectId,
        revision.action,
        JSON.stringify(revision.changes),
        by.traceparent ?? null,
        JSON.stringify(payload),
      ],
    );
  }
}
