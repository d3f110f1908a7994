import { setTimeout as sleep } from 'node:timers/promises';
import {
  type ClaimedFlow,
  type Database,
  type FlowQueue,
  Flows,
  isDatabaseTrouble,
  type Lease,
  LeaseLost,
  namingDatabaseTrouble,
  type StepRef,
  type Tx,
} from '@octavia/db';
import { DomainError, type Fault, faultOf } from '@octavia/domain';
import { ATTR, contextFrom, type Logger, withSpan } from '@octavia/service';
import { type Span, trace } from '@opentelemetry/api';
import { retryDelayMs } from './backoff.ts';
import {
  type AnyFlow,
  type AnyState,
  Closing,
  ComeAgain,
  type EngineContext,
  type GiveUp,
  type Step,
  type StepContext,
  Superseded,
} from './flow.ts';
import { type FlowMetrics, flowAttributes, showWait, stepAttributes } from './flow-metrics.ts';
import { firstState, isObject } from './flow-state.ts';
import {
  DeadlineReached,
  type Interruption,
  LeaseGone,
  StepIgnoresSignal,
  StepTooSlow,
  StopRequested,
  untilAborted,
  WorkerStops,
} from './interruption.ts';
import type { LeaseKeeper } from './lease-keeper.ts';
import { type Failing, STOPPED, verdictOf } from './verdict.ts';

/** Tries of one undo in a row, and how long each may take, in milliseconds. What is left then is housekeeping's. */
const UNDO_TRIES = 3;
const UNDO_LIMIT_MS = 10_000;
/** Between tries to write while the database is away, in milliseconds. */
const DATABASE_RETRY_MS = 100;
/** Reasons of a fault with which a flow ends CANCELLED: it did not fail. */
const SUPERSEDED = 'SUPERSEDED';
const CANCELLED_REASONS: readonly string[] = [STOPPED, SUPERSEDED];
/** Tries to settle, within one run of the flow; and the reason with which it ends when all have thrown. */
const SETTLE_TRIES = 5;
const SETTLE_FAILED = 'SETTLE_FAILED';

export interface RunParts<Parts> {
  readonly db: Database;
  readonly queue: FlowQueue;
  readonly leases: LeaseKeeper;
  readonly metrics: FlowMetrics;
  readonly log: Logger;
  readonly giveUp: GiveUp;
  /** What steps get beside the engine's context. */
  readonly parts: Parts;
}

type AnyStep<Parts> = Step<AnyState, Parts>;
type Result = AnyState | Closing<AnyState> | undefined;

/** A step that has done its work outside, and is not saved yet. */
interface Done {
  readonly position: number;
  readonly name: string;
  readonly attempt: number;
  readonly result: Result;
}
/** The same with what is saved. */
type Saved = Pick<Done, 'position' | 'name'> & { readonly output: AnyState };

/**
 * Runs one claimed flow as far as it gets: to its end, to a try that comes later, or to the loss of its lease. The only code
 * that knows how flows run. Its promises are in section "A flow" of the examples: saved steps, retries, undo, one last write.
 */
export class FlowRun<Parts> {
  readonly lease: Lease;
  readonly #definition: AnyFlow<Parts>;
  readonly #claimed: ClaimedFlow;
  readonly #run: RunParts<Parts>;
  readonly #log: Logger;
  /** Cuts a `do` off, for any reason. */
  readonly #abort = new AbortController();
  /** Cuts an undo off, too: the flow is not ours any more. */
  readonly #gone = new AbortController();
  readonly #deadlineAt: number;
  #isDraining = false;
  #state: AnyState;
  #isHalfDone = false;
  /** The newest step that is done and not saved. */
  #last: Done | undefined;
  /** Position to name of the steps that were begun. */
  readonly #begun = new Map<number, string>();
  /** Since when it is in a step, or in the undo of one; null: in none. */
  #inStepSince: number | null = null;

  constructor(definition: AnyFlow<Parts>, claimed: ClaimedFlow, run: RunParts<Parts>) {
    this.lease = claimed.lease;
    this.#definition = definition;
    this.#claimed = claimed;
    this.#run = run;
    this.#deadlineAt = performance.now() + claimed.remainingMs;
    this.#log = run.log.child({
      ...flowAttributes(claimed.flow),
      [ATTR.PROJECT_ID]: claimed.flow.projectId,
      [ATTR.REQUEST_ID]: claimed.flow.requestId,
    });
    this.#state = firstState(claimed.flow);
  }

  /** Cuts the running step off. Stop requests do not reach a flow that cannot be stopped, or that is being undone. */
  interrupt(why: Interruption): void {
    const isStop = why instanceof StopRequested;
    if (isStop && this.#definition.isStoppable === false) return;
    if (why instanceof LeaseGone || why instanceof WorkerStops) this.#gone.abort(why);
    this.#abort.abort(why);
  }

  /** How long the try of a step that runs has taken so far, in milliseconds. */
  get inStepMs(): number {
    return this.#inStepSince === null ? 0 : performance.now() - this.#inStepSince;
  }

  /** The worker is about to stop: after the step that runs, the flow is let go. */
  drain(): void {
    this.#isDraining = true;
  }

  /** Never throws. */
  async run(): Promise<void> {
    const { flow } = this.#claimed;
    const attributes = { ...flowAttributes(flow), [ATTR.FLOW_EPOCH]: this.lease.epoch };
    showWait(this.#claimed, attributes);
    try {
      await withSpan(`flow ${flow.name}`, { attributes, parent: flow.traceContext }, (span) => this.#runInSpan(span));
    } catch (error) {
      if (error instanceof LeaseLost || error instanceof LeaseGone)
        this.#log.warn('lease lost, flow left to its successor');
      else if (error instanceof WorkerStops || error instanceof StepIgnoresSignal) await this.#release();
      else if (isDatabaseTrouble(error)) await this.#release();
      // A bug of ours. Its lease runs out, which keeps the next try from following at once.
      else this.#log.error({ err: error }, 'the flow engine failed');
    } finally {
      this.#run.leases.drop(this.lease);
    }
  }

  async #runInSpan(span: Span): Promise<void> {
    const { flow, remainingMs } = this.#claimed;
    this.#restore();
    if (flow.stopRequested) this.interrupt(new StopRequested(flow.stopRequested));
    const deadline = setTimeout(() => this.interrupt(new DeadlineReached()), Math.max(0, remainingMs));
    try {
      let fault: Fault | null = null;
      if (flow.direction === 'UNDO') fault = flow.lastError ?? { reason: STOPPED, message: 'It was stopped.' };
      else {
        if (remainingMs <= 0) this.interrupt(new DeadlineReached());
        const result = (await this.#forward(span)) ?? (await this.#finish(null));
        if (result === 'LATER' || result === null) return;
        fault = result;
        await this.#write(() => this.#run.queue.turnBack(this.#run.db.reader, this.lease, fault));
      }
      clearTimeout(deadline);
      span.setAttribute(ATTR.ERROR_TYPE, fault.reason);
      await this.#back(span);
      await this.#finish(fault);
    } finally {
      clearTimeout(deadline);
    }
  }

  /** Takes up what earlier runs saved. */
  #restore(): void {
    for (const step of this.#claimed.steps) {
      const defined = this.#definition.steps[step.position];
      if (defined?.name !== step.name) {
        throw new Error(
          `Flow ${this.#definition.name} ${this.#definition.version} has another step at ${step.position}.`,
        );
      }
      if (step.state !== 'UNDONE') this.#begun.set(step.position, step.name);
      if (step.state === 'DONE' && isObject(step.output)) this.#state = { ...this.#state, ...step.output };
      this.#isHalfDone ||= defined.undo !== undefined;
    }
  }

  /** Does what is not done. Null: all of it, and the last step is in `#last`. LATER: it waits in the queue. Else why it has to be undone. */
  async #forward(span: Span): Promise<Fault | 'LATER' | null> {
    const { steps } = this.#definition;
    const isDone = new Set(this.#claimed.steps.flatMap(({ position, state }) => (state === 'DONE' ? [position] : [])));
    for (const [position, step] of steps.entries()) {
      if (isDone.has(position) || step.isNeeded?.(this.#state) === false) continue;
      if (this.#abort.signal.aborted || this.#isDraining) {
        const failure = this.#last && (await this.#save(async (tx, done) => this.#advance(tx, done)));
        if (failure) return failure;
        if (!this.#abort.signal.aborted) throw new WorkerStops();
        return this.#interrupted(step);
      }
      const failure = await this.#begin(step, position);
      if (failure) return failure;
      const attempt = this.#attemptOf(step);
      try {
        const result = await this.#do(step, attempt, span);
        if (result instanceof ComeAgain) return await this.#comeAgain(result);
        this.#last = { position, name: step.name, attempt, result };
      } catch (error) {
        return this.#failed(step, attempt, error);
      }
    }
    return null;
  }

  /** Saves the step before and notes that this one starts; from the first step with an undo on, the flow is half done. */
  async #begin(step: AnyStep<Parts>, position: number): Promise<Fault | 'LATER' | null> {
    const isFirstToUndo = step.undo !== undefined && !this.#isHalfDone;
    const next = { position, name: step.name };
    this.#begun.set(position, step.name);
    const failure = await this.#save(async (tx, done) => {
      if (isFirstToUndo)
        await Promise.all([this.#run.queue.markHalfDone(tx, this.lease), this.#advance(tx, done, next)]);
      else await this.#advance(tx, done, next);
    }, isFirstToUndo);
    if (failure) this.#begun.delete(position);
    else this.#isHalfDone ||= isFirstToUndo;
    return failure;
  }

  #advance(tx: Tx, done: Saved | undefined, next?: StepRef): Promise<void> {
    return this.#run.queue.advance(tx, this.lease, { ...(done ? { done } : {}), ...(next ? { next } : {}) });
  }

  /**
   * Runs `write` together with the last writes of the step that is done, whose output is the flow's from then on: in one transaction,
   * unless it is one statement. Null: it is saved. Else what follows from the failure of the step's own writes.
   */
  async #save(
    write: (tx: Tx, done: Saved | undefined, state: AnyState) => Promise<void>,
    isTransaction = false,
  ): Promise<Fault | 'LATER' | null> {
    const { db } = this.#run;
    const done = this.#last;
    const closing = done?.result instanceof Closing ? done.result : null;
    let isClosing = false;
    let state = this.#state;
    const work = async (tx: Tx): Promise<void> => {
      isClosing = closing !== null;
      const output = (closing ? await closing.write(tx) : (done?.result as AnyState | undefined)) ?? {};
      isClosing = false;
      state = { ...this.#state, ...output };
      await write(tx, done && { position: done.position, name: done.name, output }, state);
    };
    try {
      await this.#write(() => (closing || isTransaction ? db.transaction(work) : work(db.reader)));
    } catch (error) {
      if (!done || !isClosing || error instanceof LeaseGone) throw error;
      this.#last = undefined;
      return this.#failed(this.#definition.steps[done.position] ?? done, done.attempt, error);
    }
    this.#state = state;
    this.#last = undefined;
    return null;
  }

  #attemptOf(step: AnyStep<Parts>): number {
    const { flow } = this.#claimed;
    return flow.step === step.name ? flow.attempt + 1 : 1;
  }

  async #do(step: AnyStep<Parts>, attempt: number, flowSpan: Span): Promise<Result | ComeAgain> {
    const startedAt = performance.now();
    this.#inStepSince = startedAt;
    const attributes = stepAttributes(this.#claimed.flow, step.name, attempt);
    try {
      const output = await withSpan(`step ${step.name}`, { attributes }, () =>
        untilAborted(step.name, this.#abort.signal, () =>
          step.do(this.#state, this.#context(step.name, attempt, this.#abort.signal, flowSpan)),
        ),
      );
      this.#run.metrics.stepEnded(this.#definition.name, step.name, performance.now() - startedAt);
      return output as Result | ComeAgain;
    } catch (error) {
      this.#run.metrics.stepEnded(this.#definition.name, step.name, performance.now() - startedAt, error);
      throw error;
    } finally {
      this.#inStepSince = null;
    }
  }

  /** What follows from the failure of a step. */
  async #failed(step: Failing, attempt: number, error: unknown): Promise<Fault | 'LATER'> {
    if (error instanceof LeaseLost) throw error;
    if (this.#abort.signal.aborted) {
      const verdict = this.#interrupted(step, error);
      if (!(error instanceof StepIgnoresSignal)) return verdict;
      // Its late calls must meet a higher epoch: the next claim undoes.
      await this.#write(() => this.#run.queue.turnBack(this.#run.db.reader, this.lease, verdict));
      throw error;
    }
    if (error instanceof Superseded) return { reason: SUPERSEDED, message: error.message };
    const isUnavailable = (error instanceof DomainError && error.kind === 'unavailable') || isDatabaseTrouble(error);
    const fault = faultOf(namingDatabaseTrouble(error));
    if (!isUnavailable) {
      this.#log.warn(
        { [ATTR.STEP_NAME]: step.name, [ATTR.REASON]: fault.reason, err: error },
        'step failed for good, undoing',
      );
      return fault;
    }
    const delayMs = Math.max(0, Math.min(retryDelayMs(attempt, Math.random()), this.#deadlineAt - performance.now()));
    this.#log.info(
      { [ATTR.STEP_NAME]: step.name, [ATTR.FLOW_ATTEMPT]: attempt, [ATTR.REASON]: fault.reason, delayMs },
      'step to be tried again',
    );
    const retry = { delayMs, error: fault, waitingFor: step.awaits?.[fault.reason] ?? 'the next try' };
    await this.#write(() => this.#run.db.transaction((tx) => this.#run.queue.retryLater(tx, this.lease, retry)));
    return 'LATER';
  }

  async #comeAgain({ look }: ComeAgain): Promise<'LATER'> {
    const { db, queue } = this.#run;
    await this.#write(() => db.transaction((tx) => queue.comeAgain(tx, this.lease, () => look(tx))));
    return 'LATER';
  }

  /** What follows from an interruption. @throws LeaseGone, WorkerStops */
  #interrupted(step: Failing, error?: unknown): Fault {
    return verdictOf(this.#abort.signal.reason, step, this.#claimed.flow, error);
  }

  /** Undoes newest first what was begun, the failed step too, and goes on when one undo fails. */
  async #back(span: Span): Promise<void> {
    const positions = [...this.#begun.keys()].sort((a, b) => b - a);
    for (const position of positions) {
      const step = this.#definition.steps[position];
      if (!step?.undo) continue;
      const error = await this.#undo(step, span);
      await this.#write(() =>
        this.#run.queue.undone(this.#run.db.reader, this.lease, { position, name: step.name }, error),
      );
    }
  }

  /** Null: undone. Else why it was given up. */
  async #undo(step: AnyStep<Parts>, flowSpan: Span): Promise<Fault | null> {
    const ended = (startedAt: number, error?: unknown): void =>
      this.#run.metrics.stepEnded(this.#definition.name, `undo ${step.name}`, performance.now() - startedAt, error);
    for (let attempt = 1; ; attempt++) {
      const startedAt = performance.now();
      this.#inStepSince = startedAt;
      const limit = new AbortController();
      const timer = setTimeout(() => limit.abort(new StepTooSlow(UNDO_LIMIT_MS)), UNDO_LIMIT_MS);
      const signal = AbortSignal.any([limit.signal, this.#gone.signal]);
      try {
        const attributes = stepAttributes(this.#claimed.flow, step.name, attempt);
        await withSpan(`undo ${step.name}`, { attributes }, () =>
          untilAborted(step.name, signal, async () =>
            step.undo?.(this.#state, this.#context(step.name, attempt, signal, flowSpan)),
          ),
        );
        ended(startedAt);
        return null;
      } catch (error) {
        ended(startedAt, error);
        if (error instanceof LeaseLost) throw error;
        this.#gone.signal.throwIfAborted();
        // That is no try: what is given up for it would be left over, and the next worker would do no better.
        if (isDatabaseTrouble(error)) attempt = 0;
        else if (attempt >= UNDO_TRIES) {
          this.#log.error({ [ATTR.STEP_NAME]: step.name, err: error }, 'undo failed, something is left over');
          return faultOf(error);
        }
      } finally {
        clearTimeout(timer);
        this.#inStepSince = null;
      }
      await sleep(attempt === 0 ? DATABASE_RETRY_MS : retryDelayMs(attempt, Math.random()));
      if (!this.#run.leases.isHeld(this.lease)) throw new LeaseGone();
    }
  }

  #context(step: string, attempt: number, signal: AbortSignal, flowSpan: Span): StepContext<Parts> {
    const { db, queue, parts } = this.#run;
    const engine: EngineContext = {
      flow: this.#claimed.flow,
      attempt,
      signal,
      remainingMs: () => this.#deadlineAt - performance.now(),
      fence: { flowId: this.lease.flowId, epoch: this.lease.epoch },
      log: this.#log.child({ [ATTR.STEP_NAME]: step }),
      reader: db.reader,
      transaction: (work) => db.transaction(work, { guard: queue.guard(this.lease) }),
      waitingFor: (text) => queue.waitFor(db.reader, this.lease, text),
      link: (contexts) => {
        for (const stored of contexts) {
          const context = trace.getSpanContext(contextFrom(stored));
          if (context) flowSpan.addLink({ context });
        }
      },
    };
    return { ...parts, ...engine };
  }

  /**
   * Settles the statuses, closes the flow, gives up the turn and asks for the next push: one transaction, with the last writes of the
   * last step. Null: it has ended. Else what follows from the failure of that step. What cannot be settled ends all the same: a flow
   * that is tried for ever keeps its turn, and its objects pending.
   */
  async #finish(fault: Fault | null): Promise<Fault | 'LATER' | null> {
    const { metrics, leases } = this.#run;
    const { name } = this.#definition;
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#settle(fault);
      } catch (error) {
        if (error instanceof LeaseLost || error instanceof LeaseGone || isDatabaseTrouble(error)) throw error;
        metrics.settleFailed(name);
        this.#log.warn({ err: error, [ATTR.FLOW_ATTEMPT]: attempt }, 'cannot settle');
        if (attempt >= SETTLE_TRIES) return this.#giveUp(error);
      }
      await sleep(retryDelayMs(attempt, Math.random()));
      if (!leases.isHeld(this.lease)) throw new LeaseGone();
    }
  }

  async #settle(fault: Fault | null): Promise<Fault | 'LATER' | null> {
    const { queue, parts } = this.#run;
    const { flow } = this.#claimed;
    const outcome = fault === null ? 'SUCCEEDED' : CANCELLED_REASONS.includes(fault.reason) ? 'CANCELLED' : 'FAILED';
    const failure = await this.#save(async (tx, done, state) => {
      const push = (await this.#definition.settle?.(tx, { flow, state, outcome, fault }, parts)) ?? null;
      await queue.finish(tx, this.lease, { state: outcome, ...(done ? { done } : {}) });
      if (push) await new Flows().ensurePush(tx, push);
    }, true);
    if (!failure) this.#ended(outcome, fault);
    return failure;
  }

  /** Ends a flow that cannot be settled: FAILED, and what it leaves pending is in ERROR. */
  async #giveUp(error: unknown): Promise<null> {
    const { queue, db, giveUp } = this.#run;
    const { flow } = this.#claimed;
    const { message: why } = faultOf(error);
    const message = `Its end could not be written down: ${why} What it did may be in place; fail it over to be certain.`;
    const fault = { reason: SETTLE_FAILED, message };
    await this.#write(() =>
      db.transaction(async (tx) => {
        await giveUp(tx, flow, fault);
        await queue.turnBack(tx, this.lease, fault);
        await queue.finish(tx, this.lease, { state: 'FAILED' });
      }),
    );
    this.#log.error({ err: error }, 'flow could not be settled: a bug; what it worked on is in ERROR');
    this.#ended('FAILED', fault);
    return null;
  }

  #ended(outcome: string, fault: Fault | null): void {
    this.#run.metrics.flowEnded(this.#claimed, outcome, fault);
    this.#log.info({ outcome, ...(fault ? { [ATTR.REASON]: fault.reason } : {}) }, 'flow ended');
  }

  /** Lets the flow go at once. While the database is away that is tried until the lease has run out by itself. */
  async #release(): Promise<void> {
    const { queue, db, leases } = this.#run;
    while (leases.isHeld(this.lease)) {
      try {
        return await queue.release(db.reader, this.lease);
      } catch {
        await sleep(DATABASE_RETRY_MS);
      }
    }
  }

  /** Repeats a write while the database is away and the lease is ours: what is done outside must not be done again for that. */
  async #write(write: () => Promise<void>): Promise<void> {
    for (;;) {
      try {
        return await write();
      } catch (error) {
        if (!isDatabaseTrouble(error)) throw error;
        if (!this.#run.leases.isHeld(this.lease)) throw new LeaseGone();
        await sleep(DATABASE_RETRY_MS);
      }
    }
  }
}
