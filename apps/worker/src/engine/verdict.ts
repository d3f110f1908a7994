import type { FlowRecord } from '@octavia/db';
import { type Fault, faultOf } from '@octavia/domain';
import type { AnyState, Step } from './flow.ts';
import { DeadlineReached, StopRequested } from './interruption.ts';

/** Reason of a flow that was asked to stop. */
export const STOPPED = 'STOPPED';

/** A step, as far as its failure needs it. */
export type Failing = Pick<Step<AnyState, never>, 'name' | 'awaits'>;

/**
 * What a flow ends with that was interrupted in a step. At its deadline that is what the step waited for, where it says so; else the
 * deadline, with the last error. @param error of the try that was cut off @throws `why` when it ends nothing: LeaseGone, WorkerStops
 */
export function verdictOf(why: unknown, step: Failing, flow: FlowRecord, error?: unknown): Fault {
  if (why instanceof StopRequested) return { reason: STOPPED, message: why.message };
  if (!(why instanceof DeadlineReached)) throw why;
  const isOfThisTry = error !== undefined && error !== why && !isAbort(error);
  const last = isOfThisTry ? faultOf(error) : flow.lastError;
  const isOfThisStep = isOfThisTry || flow.step === step.name;
  if (last && isOfThisStep && step.awaits?.[last.reason] !== undefined) return last;
  const after = last ? ` Last error: ${last.reason}: ${last.message}` : '';
  return { reason: 'DEADLINE_EXCEEDED', message: `It was not done in time; it was at ${step.name}.${after}` };
}

function isAbort(error: unknown): boolean {
  return error instanceof Error && (error.name === 'AbortError' || error instanceof DeadlineReached);
}
