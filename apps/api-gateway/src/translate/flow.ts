import type { FlowRecord, StepRecord } from '@octavia/db';
import type { FlowError, FlowState, FlowStep, FlowStepState, Flow as Message } from '@octavia/proto';
import { enumOf } from './enums.ts';

export function writeFlow(flow: FlowRecord, steps: readonly StepRecord[] = []): Message {
  return {
    id: flow.id,
    name: flow.name,
    version: flow.version,
    state: enumOf<FlowState>('FLOW_STATE_', flow.state),
    priority: flow.priority,
    loadBalancerId: flow.loadBalancerId ?? '',
    amphoraId: flow.amphoraId ?? '',
    projectId: flow.projectId,
    author: flow.author,
    requestId: flow.requestId,
    input: JSON.stringify(flow.input),
    undoing: flow.direction === 'UNDO',
    step: flow.step ?? '',
    attempt: flow.attempt,
    waitingFor: flow.waitingFor ?? (flow.state === 'QUEUED' && flow.attempt === 0 ? 'its turn' : ''),
    lastError: writeError(flow.lastError),
    nextTryAt: flow.state === 'QUEUED' ? flow.runAt : undefined,
    deadlineAt: flow.deadlineAt,
    stopRequested: flow.stopRequested ?? '',
    epoch: flow.epoch,
    leaseOwner: flow.leaseOwner ?? '',
    traceId: flow.traceContext.traceparent?.split('-')[1] ?? '',
    createdAt: flow.createdAt,
    startedAt: flow.startedAt ?? undefined,
    finishedAt: flow.finishedAt ?? undefined,
    steps: steps.map(writeStep),
  };
}

function writeStep(step: StepRecord): FlowStep {
  return {
    name: step.name,
    state: enumOf<FlowStepState>('FLOW_STEP_STATE_', step.state),
    attempts: step.attempts,
    startedAt: step.startedAt,
    finishedAt: step.finishedAt ?? undefined,
    lastError: writeError(step.lastError),
    output: shownOf(step.output),
  };
}

/** What of an output is for people; the rest is for the steps after it. */
const SHOWN = ['choices'];

function shownOf(output: StepRecord['output']): string {
  if (output === null || typeof output !== 'object') return '';
  const shown = Object.entries(output).filter(([key]) => SHOWN.includes(key));
  return shown.length === 0 ? '' : JSON.stringify(Object.fromEntries(shown));
}

function writeError(error: FlowRecord['lastError']): FlowError | undefined {
  return error ? { reason: error.reason, message: error.message } : undefined;
}
