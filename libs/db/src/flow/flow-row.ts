import type { Fault, FlowState, Json, TraceContext } from '@octavia/domain';

/** Why a flow shall stop: something more urgent wants its turn, or an operator said so. */
export type StopReason = 'FAILOVER' | 'DELETE' | 'CANCELLED';

/** A flow as the queue keeps it: order, log entry and operators' view in one. */
export interface FlowRecord {
  readonly id: string;
  readonly name: string;
  readonly version: number;
  readonly state: FlowState;
  readonly priority: number;
  readonly turnKey: string;
  readonly loadBalancerId: string | null;
  readonly amphoraId: string | null;
  readonly projectId: string;
  readonly author: string;
  readonly requestId: string;
  readonly input: Json;
  readonly direction: 'DO' | 'UNDO';
  /** Name of the step that runs or is to be tried again; null before the first. */
  readonly step: string | null;
  /** Tries of that step so far. */
  readonly attempt: number;
  readonly waitingFor: string | null;
  readonly lastError: Fault | null;
  /** Not before this time; while it is QUEUED, the next try. */
  readonly runAt: Date;
  readonly deadlineAt: Date;
  readonly stopRequested: StopReason | null;
  readonly epoch: number;
  readonly leaseOwner: string | null;
  readonly traceContext: TraceContext;
  readonly createdAt: Date;
  readonly startedAt: Date | null;
  readonly finishedAt: Date | null;
}

/** A step of a flow as far as it is known. */
export interface StepRecord {
  readonly position: number;
  readonly name: string;
  /** STARTED: done in part, perhaps. DONE: its output is saved. UNDONE: undone, or given up with `lastError`. */
  readonly state: 'STARTED' | 'DONE' | 'UNDONE';
  readonly output: Json;
  readonly attempts: number;
  readonly lastError: Fault | null;
  readonly startedAt: Date;
  readonly finishedAt: Date | null;
}

export interface FlowRow {
  id: string;
  name: string;
  version: number;
  state: FlowState;
  priority: number;
  turn_key: string;
  load_balancer_id: string | null;
  amphora_id: string | null;
  project_id: string;
  author: string;
  request_id: string;
  input: Json;
  direction: 'DO' | 'UNDO';
  step: string | null;
  attempt: number;
  waiting_for: string | null;
  last_error: Fault | null;
  run_at: Date;
  deadline_at: Date;
  stop_requested: StopReason | null;
  epoch: number;
  lease_owner: string | null;
  traceparent: string | null;
  tracestate: string | null;
  created_at: Date;
  started_at: Date | null;
  finished_at: Date | null;
}

export interface StepRow {
  position: number;
  name: string;
  state: StepRecord['state'];
  output: Json;
  attempts: number;
  last_error: Fault | null;
  started_at: Date;
  finished_at: Date | null;
}

export function toFlowRecord(row: FlowRow): FlowRecord {
  return {
    id: row.id,
    name: row.name,
    version: row.version,
    state: row.state,
    priority: row.priority,
    turnKey: row.turn_key,
    loadBalancerId: row.load_balancer_id,
    amphoraId: row.amphora_id,
    projectId: row.project_id,
    author: row.author,
    requestId: row.request_id,
    input: row.input,
    direction: row.direction,
    step: row.step,
    attempt: row.attempt,
    waitingFor: row.waiting_for,
    lastError: row.last_error,
    runAt: row.run_at,
    deadlineAt: row.deadline_at,
    stopRequested: row.stop_requested,
    epoch: row.epoch,
    leaseOwner: row.lease_owner,
    traceContext: {
      ...(row.traceparent === null ? {} : { traceparent: row.traceparent }),
      ...(row.tracestate === null ? {} : { tracestate: row.tracestate }),
    },
    createdAt: row.created_at,
    startedAt: row.started_at,
    finishedAt: row.finished_at,
  };
}

export function toStepRecord(row: StepRow): StepRecord {
  return {
    position: row.position,
    name: row.name,
    state: row.state,
    output: row.output,
    attempts: row.attempts,
    lastError: row.last_error,
    startedAt: row.started_at,
    finishedAt: row.finished_at,
  };
}
