import type { Tx } from '../core/database.ts';

/** Why something has not settled: the flow that works on it. */
export interface PendingDetail {
  readonly flow: string;
  readonly flowId: string;
  /** Null before its first step. */
  readonly step: string | null;
  readonly attempt: number;
  readonly waitingFor: string | null;
  /** Words of the last error; null when there was none. */
  readonly lastError: string | null;
  /** Null while it runs. */
  readonly nextTryAt: Date | null;
  readonly deadlineAt: Date;
  /** 32 hexadecimal digits; null without tracing. */
  readonly traceId: string | null;
}

/** By load balancer, the flow that works on it or will be next. Load balancers that are settled have no entry. */
export async function pendingDetails(tx: Tx, loadBalancerIds: readonly string[]): Promise<Map<string, PendingDetail>> {
  if (loadBalancerIds.length === 0) return new Map();
  const rows = await tx.query(
    `SELECT DISTINCT ON (f.turn_key) f.turn_key, f.id, f.name, f.step, f.attempt, f.deadline_at,
       coalesce(f.waiting_for, CASE WHEN f.state = 'QUEUED' AND f.attempt = 0 THEN 'its turn' END) AS waiting_for,
       coalesce(f.last_error ->> 'message', f.last_error #>> '{}') AS last_error,
       CASE WHEN f.state = 'QUEUED' THEN f.run_at END AS next_try_at, split_part(f.traceparent, '-', 2) AS trace_id
     FROM flow f JOIN turn ON turn.key = f.turn_key
     WHERE f.turn_key = ANY ($1) AND f.state IN ('QUEUED', 'RUNNING')
     ORDER BY f.turn_key, f.state = 'RUNNING' DESC, f.id IS NOT DISTINCT FROM turn.half_done DESC, f.priority, f.id`,
    [loadBalancerIds],
  );
  return new Map(rows.map((row: DetailRow) => [row.turn_key, toDetail(row)]));
}

interface DetailRow {
  turn_key: string;
  id: string;
  name: string;
  step: string | null;
  attempt: number;
  waiting_for: string | null;
  last_error: string | null;
  next_try_at: Date | null;
  deadline_at: Date;
  trace_id: string | null;
}

function toDetail(row: DetailRow): PendingDetail {
  return {
    flow: row.name,
    flowId: row.id,
    step: row.step,
    attempt: row.attempt,
    waitingFor: row.waiting_for,
    lastError: row.last_error,
    nextTryAt: row.next_try_at,
    deadlineAt: row.deadline_at,
    traceId: row.trace_id || null,
  };
}
