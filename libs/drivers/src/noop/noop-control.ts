import { setTimeout as delay } from 'node:timers/promises';
import type { Unavailable } from '@octavia/domain';
import type { CallContext } from '../call-context.ts';
import type { EpochFences } from '../fences/epoch-fences.ts';

/** What a test throws where a real process would have died. It is no DomainError: nothing may handle it. */
export class SimulatedCrash extends Error {
  constructor(driver: string, method: string) {
    super(`${driver}.${method} did its work, and then the process "died" before it heard the answer.`);
    this.name = 'SimulatedCrash';
  }
}

export type NoopOutcome = 'done' | 'failed' | 'crashed' | 'timed-out' | 'refused';

/** One call, as it was made. Arguments hold no secret: drivers leave them out. */
export interface NoopCall {
  readonly method: string;
  readonly args: readonly unknown[];
  readonly fence: CallContext['fence'] | null;
  readonly outcome: NoopOutcome;
}

/** Calls that are remembered; older ones are dropped. */
const MAX_CALLS = 10_000;

type Fault = { readonly isMeant?: (args: readonly unknown[]) => boolean } & (
  | { readonly kind: 'fail'; readonly error: Error }
  | { readonly kind: 'delay'; readonly delayMs: number }
  | { readonly kind: 'crash' }
  | { readonly kind: 'time-out' }
);

export interface NoopControlOptions {
  readonly driver: string;
  readonly fences: EpochFences;
  /** Makes the error of a call that timed out. */
  readonly unavailable: (message: string) => Unavailable;
  /** After which a call that is made to time out gives up, unless its signal ends it before. Milliseconds. */
  readonly timeOutMs?: number;
  /** Called where the process is to die between effect and answer; by default SimulatedCrash is thrown. */
  readonly onCrash?: (method: string) => void;
}

/** Record of calls and injection of faults: what every noop driver has beside its methods. Method `*` means any. */
export class NoopControl {
  readonly #options: NoopControlOptions;
  readonly #faults = new Map<string, Fault[]>();
  readonly #calls: NoopCall[] = [];
  readonly #underWay: string[] = [];

  constructor(options: NoopControlOptions) {
    this.#options = options;
  }

  /** The last calls, oldest first. */
  get calls(): readonly NoopCall[] {
    return this.#calls;
  }

  /** Methods whose calls have begun and not ended, oldest first. */
  get underWay(): readonly string[] {
    return this.#underWay;
  }

  /** The next `times` calls fail with `error` and do nothing. */
  failNext(method: string, error: Error, times = 1): void {
    this.#plan(method, { kind: 'fail', error }, times);
  }

  /** The next `times` calls wait before they do their work. @param isMeant tells from the arguments whether a call is one of them */
  delayNext(method: string, delayMs: number, times = 1, isMeant?: (args: readonly unknown[]) => boolean): void {
    this.#plan(method, { kind: 'delay', delayMs, ...(isMeant ? { isMeant } : {}) }, times);
  }

  /** The next `times` calls do their work, and nobody hears of it: as when the process dies between effect and answer. */
  crashNext(method: string, times = 1): void {
    this.#plan(method, { kind: 'crash' }, times);
  }

  /** The next `times` calls hang until they are aborted or time out, and do nothing. */
  timeOutNext(method: string, times = 1): void {
    this.#plan(method, { kind: 'time-out' }, times);
  }

  /** Forgets planned faults and recorded calls. */
  reset(): void {
    this.#faults.clear();
    this.#calls.length = 0;
  }

  /** Runs the work of a driver's method: fence, then the planned fault, then the work; records the call. */
  async run<T>(
    method: string,
    args: readonly unknown[],
    context: CallContext | undefined,
    work: () => Promise<T>,
  ): Promise<T> {
    let outcome: NoopOutcome = 'refused';
    try {
      context?.signal?.throwIfAborted();
      await this.#options.fences.admit(context);
      outcome = 'failed';
      const fault = this.#take(method, args);
      this.#underWay.push(method);
      if (fault?.kind === 'fail') throw fault.error;
      if (fault?.kind === 'delay') await wait(fault.delayMs, context);
      if (fault?.kind === 'time-out') {
        outcome = 'timed-out';
        await this.#hang(method, context);
      }
      const result = await work();
      if (fault?.kind === 'crash') {
        outcome = 'crashed';
        this.#options.onCrash?.(method);
        throw new SimulatedCrash(this.#options.driver, method);
      }
      outcome = 'done';
      return result;
    } finally {
      const begun = this.#underWay.indexOf(method);
      if (begun >= 0 && outcome !== 'refused') this.#underWay.splice(begun, 1);
      this.#record({ method, args, fence: context?.fence ?? null, outcome });
    }
  }

  async #hang(method: string, context: CallContext | undefined): Promise<never> {
    const timeOutMs = this.#options.timeOutMs ?? 100;
    await wait(timeOutMs, context);
    throw this.#options.unavailable(`${this.#options.driver}.${method} had no answer after ${timeOutMs} ms.`);
  }

  #plan(method: string, fault: Fault, times: number): void {
    const planned = this.#faults.get(method) ?? [];
    for (let i = 0; i < times; i++) planned.push(fault);
    this.#faults.set(method, planned);
  }

  #take(method: string, args: readonly unknown[]): Fault | undefined {
    for (const planned of [this.#faults.get(method), this.#faults.get('*')]) {
      const found = planned?.findIndex(({ isMeant }) => isMeant?.(args) ?? true) ?? -1;
      if (found >= 0) return planned?.splice(found, 1)[0];
    }
    return undefined;
  }

  #record(call: NoopCall): void {
    this.#calls.push(call);
    if (this.#calls.length > MAX_CALLS) this.#calls.shift();
  }
}

/** Waits, or throws the reason of the abort. */
async function wait(delayMs: number, context: CallContext | undefined): Promise<void> {
  await delay(delayMs, undefined, { signal: context?.signal }).catch((error: unknown) => {
    context?.signal?.throwIfAborted();
    throw error;
  });
}
