import type { FlowRecord, Tx } from '@octavia/db';
import type { Fault, Json, NewFlow, TraceContext } from '@octavia/domain';
import type { Logger } from '@octavia/service';

/** What the engine gives to every step, beside what the flows of a process share (`Parts`). */
export interface EngineContext {
  readonly flow: FlowRecord;
  /** Tries of this step, from 1. */
  readonly attempt: number;
  /** Aborted when the flow is asked to stop, loses its lease, reaches its deadline, or the worker stops. */
  readonly signal: AbortSignal;
  /** Until the deadline of the flow, in milliseconds. */
  remainingMs(): number;
  /** For drivers: they refuse the calls of a worker that was replaced. */
  readonly fence: { readonly flowId: string; readonly epoch: number };
  readonly log: Logger;
  /** For reads outside of a transaction. Nobody checks that the lease is still ours: write through `transaction` only. */
  readonly reader: Tx;
  /** Runs `work` in one transaction, which commits only while the lease is ours. Take the load balancer's lock first. @throws LeaseLost */
  transaction<T>(work: (tx: Tx) => Promise<T>): Promise<T>;
  /** Tells operators and callers what the step waits for, such as `amphora to answer`. */
  waitingFor(text: string): Promise<void>;
  /** Links the flow's span to other requests that it serves. */
  link(contexts: readonly TraceContext[]): void;
}

export type StepContext<Parts> = Parts & EngineContext;

/**
 * The last writes of a step: what it did outside is done. They are committed in one transaction with the step's output, or, of the
 * last step, with the end of the flow; only while the lease is ours. They may be repeated while the database is away.
 */
export class Closing<Output> {
  readonly write: (tx: Tx) => Promise<Output>;

  constructor(write: (tx: Tx) => Promise<Output>) {
    this.write = write;
  }
}

/** When a flow looks again, and what it waits for meanwhile. */
export interface Pause {
  readonly delayMs: number;
  /** For people, such as `a build slot: place 3 in the line`. */
  readonly waitingFor: string;
}

/**
 * Not now, and nothing failed: the flow goes back into the queue and does the same step again. That counts neither as a try nor
 * against its deadline. `look` is the last writes of the step, committed together with the way back.
 */
export class ComeAgain {
  readonly look: (tx: Tx) => Promise<Pause>;

  constructor(look: (tx: Tx) => Promise<Pause>) {
    this.look = look;
  }
}

/**
 * One step. `State` is the flow's input and the outputs of the steps before. Both functions may run twice, and may be cut off
 * anywhere: `do` finds what an earlier try left, `undo` does not trust that `do` saved anything.
 */
export interface Step<State, Parts> {
  readonly name: string;
  /** False: there is nothing to do, so the step is passed over, and leaves no trace. It tells the same whenever it is asked. */
  isNeeded?(state: State): boolean;
  /**
   * @returns what later steps need, as JSON, or the writes that tell it; never a secret
   * @throws DomainError: `unavailable` ones are tried again
   */
  do(
    state: State,
    context: StepContext<Parts>,
  ): Promise<Partial<State> | Closing<Partial<State>> | ComeAgain | undefined>;
  undo?(state: State, context: StepContext<Parts>): Promise<void>;
  /**
   * Reasons of `unavailable` errors that this step waits out, perhaps for a person, and what it waits for then, such as `the old holder
   * to be isolated`. When the deadline passes meanwhile, the flow ends with that reason: it says more than DEADLINE_EXCEEDED.
   */
  readonly awaits?: Readonly<Record<string, string>>;
}

/** How a flow ended, for the transaction that closes it. */
export interface FlowEnd<State> {
  readonly flow: FlowRecord;
  /** Input and the outputs that were saved. */
  readonly state: State;
  readonly outcome: 'SUCCEEDED' | 'FAILED' | 'CANCELLED';
  /** Set unless it succeeded. */
  readonly fault: Fault | null;
}

export interface Flow<State, Parts> {
  readonly name: string;
  /** Version of the list of steps and the input. Another list is another version; keep the old one for a release. */
  readonly version: number;
  readonly steps: readonly Step<State, Parts>[];
  /** Default: true. A flow that cannot be undone half-way goes on when it is asked to stop, and is only woken by it. */
  readonly isStoppable?: boolean;
  /**
   * Sets the final statuses, in the transaction that closes the flow. Locks the load balancer first. Returns the push to ask for
   * when more is desired than was settled.
   */
  settle?(tx: Tx, end: FlowEnd<State>, parts: Parts): Promise<NewFlow | null>;
}

/**
 * What is left to do when `settle` throws again and again: puts everything that the flow leaves pending into ERROR with the fault, in as
 * few and as simple statements as can be. For all flows of a process.
 */
export type GiveUp = (tx: Tx, flow: FlowRecord, fault: Fault) => Promise<void>;

/** A flow of any state, for lists of flows. The engine only passes states on. */
// biome-ignore lint/suspicious/noExplicitAny: each flow has a state of its own, and a list of them has none in common.
export type AnyFlow<Parts> = Flow<any, Parts>;

/** A flow's state as the engine sees it. */
export type AnyState = { readonly [key: string]: Json };

/** There is nothing to do any more: what the flow was for has been deleted, or another flow does it. It ends CANCELLED. */
export class Superseded extends Error {
  constructor(why: string) {
    super(why);
    this.name = 'Superseded';
  }
}
