import type { Intent, Json, LoadBalancer, ObjectKind, TraceContext } from '@octavia/domain';
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

/** Field of the domain type to [old, new], or to [new] where there was no object before. */
export type Delta = Readonly<Record<string, readonly Json[]>>;

export type Action = 'CREATE' | 'UPDATE' | 'DELETE' | 'FAILOVER';

export interface NewRevision {
  readonly objectKind: ObjectKind;
  readonly objectId: string;
  readonly action: Action;
  readonly changes: Delta;
}

/** Fields that tell of our progress or of the change itself, not of what a caller wants. */
const BOOKKEEPING: ReadonlySet<string> = new Set([
  'author',
  'requestId',
  'provisioningStatus',
  'fault',
  'revision',
  'appliedRevision',
  'desiredRevision',
  'createdAt',
  'updatedAt',
] satisfies (keyof Intent | 'desiredRevision')[]);

/** What differs between two states of one object, or all of it where there is no old one. */
export function deltaOf<T extends object>(old: T | null, now: T): Delta {
  const changes: Record<string, readonly Json[]> = {};
  for (const [field, value] of Object.entries(now)) {
    if (BOOKKEEPING.has(field)) continue;
    const before = (old as Record<string, Json> | null)?.[field] ?? null;
    if (old === null) changes[field] = [value];
    else if (JSON.stringify(before) !== JSON.stringify(value ?? null)) changes[field] = [before, value];
  }
  return changes;
}

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
