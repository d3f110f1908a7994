import type { StopReason } from '@octavia/db';

/** Why a step is cut off: the reason of its abort signal. */
export type Interruption = StopRequested | DeadlineReached | LeaseGone | WorkerStops | StepTooSlow;

export class StopRequested extends Error {
  readonly reason: StopReason;
  constructor(reason: StopReason) {
    super(`Asked to stop (${reason}).`);
    this.name = 'StopRequested';
    this.reason = reason;
  }
}

export class DeadlineReached extends Error {
  constructor() {
    super('The deadline of the flow has passed.');
    this.name = 'DeadlineReached';
  }
}

/** Another worker may have the flow by now. */
export class LeaseGone extends Error {
  constructor() {
    super('The lease of the flow has run out.');
    this.name = 'LeaseGone';
  }
}

/** This process ends: another worker goes on. */
export class WorkerStops extends Error {
  constructor() {
    super('The worker stops.');
    this.name = 'WorkerStops';
  }
}

/** An undo took too long. */
export class StepTooSlow extends Error {
  constructor(limitMs: number) {
    super(`It was not undone within ${limitMs} ms.`);
    this.name = 'StepTooSlow';
  }
}

/** A step did not end after its signal was aborted. Its late calls are refused once the epoch has been raised. */
export class StepIgnoresSignal extends Error {
  constructor(step: string) {
    super(`Step ${step} goes on after it was told to stop.`);
    this.name = 'StepIgnoresSignal';
  }
}

/** Grace between the abort of a step and giving it up, in milliseconds. Drivers end a call at once when its signal is aborted. */
export const ABORT_GRACE_MS = 2_000;

/** Runs one try of a step until it ends, or until it was aborted and the grace has passed. */
export async function untilAborted<T>(step: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  const ignored = Promise.withResolvers<never>();
  let timer: NodeJS.Timeout | undefined;
  const onAbort = (): void => {
    timer = setTimeout(() => ignored.reject(new StepIgnoresSignal(step)), ABORT_GRACE_MS);
  };
  if (signal.aborted) onAbort();
  else signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([work(), ignored.promise]);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
  }
}
