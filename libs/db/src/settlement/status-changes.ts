import type { Fault, ObjectKind, ProvisioningStatus } from '@octavia/domain';
import { activeTraceparent } from '../core/active-trace.ts';
import type { Tx } from '../core/database.ts';
import { EVENT_CHANNEL } from '../intent/events.ts';

/** A status that changed, with who asked for what led to it. */
export interface Changed {
  readonly kind: ObjectKind;
  readonly id: string;
  readonly from: ProvisioningStatus;
  readonly to: ProvisioningStatus;
  readonly projectId: string;
  readonly author: string;
  readonly requestId: string;
  readonly fault: Fault | null;
}

/** As a statement returns it. */
export interface ChangedRow {
  id: string;
  old_status: ProvisioningStatus;
  provisioning_status: ProvisioningStatus;
  project_id: string;
  author: string;
  request_id: string;
  fault_reason: string | null;
  fault_message: string | null;
}

/** Changes statuses, and tells so. */
export class StatusChanges {
  /**
   * Locks in the order of ids, changes, and returns what each object was before. `updated_at` is the caller's: our progress does
   * not touch it.
   */
  async change(tx: Tx, kind: ObjectKind, set: string, where: string, values: readonly unknown[]): Promise<Changed[]> {
    const rows: ChangedRow[] = await tx.query(
      `WITH old AS (SELECT o.id, o.provisioning_status AS status FROM ${kind} o WHERE ${where} ORDER BY o.id FOR UPDATE),
       done AS (
         UPDATE ${kind} o SET ${set} FROM old WHERE o.id = old.id
         RETURNING o.*, old.status AS old_status)
       SELECT id, old_status, provisioning_status, project_id, author, request_id, fault_reason, fault_message FROM done`,
      [...values],
    );
    return rows.map((row) => toChanged(kind, row));
  }

  /** Appends all events with one statement: a push may settle a thousand members. */
  async tell(tx: Tx, id: string, changed: readonly Changed[]): Promise<void> {
    const told = changed.filter(({ from, to, fault }) => from !== to || fault !== null);
    if (told.length === 0) return;
    await tx.query(
      `WITH numbered AS (
         UPDATE load_balancer SET last_event = last_event + $2::integer WHERE id = $1 RETURNING last_event),
       appended AS (
         INSERT INTO event (load_balancer_id, number, project_id, author, request_id, kind, object_kind, object_id, payload,
           traceparent)
         SELECT $1, last_event - $2::integer + ordinal, c.project_id, c.author, c.request_id, 'provisioning_status_changed', c.kind,
           c.id, c.payload, $4
         FROM numbered, ROWS FROM (jsonb_to_recordset($3::jsonb) AS
           (id uuid, kind text, project_id text, author text, request_id text, payload jsonb)) WITH ORDINALITY
           AS c (id, kind, project_id, author, request_id, payload, ordinal))
       SELECT pg_notify('${EVENT_CHANNEL}', $1::uuid::text)`,
      [id, told.length, JSON.stringify(told.map(toEvent)), activeTraceparent()],
    );
  }
}

export function toChanged(kind: ObjectKind, row: ChangedRow): Changed {
  return {
    kind,
    id: row.id,
    from: row.old_status,
    to: row.provisioning_status,
    projectId: row.project_id,
    author: row.author,
    requestId: row.request_id,
    fault: row.fault_reason === null ? null : { reason: row.fault_reason, message: row.fault_message ?? '' },
  };
}

function toEvent({ kind, id, from, to, projectId, author, requestId, fault }: Changed): object {
  const payload = { from, to, ...(fault ? { reason: fault.reason, message: fault.message } : {}) };
  return { id, kind, project_id: projectId, author, request_id: requestId, payload };
}
