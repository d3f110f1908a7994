import { type Logger, logger } from './logger.ts';
import type { Part } from './run.ts';

export interface LoopOptions {
  readonly name: string;
  /** Milliseconds between the end of a round and the start of the next. */
  readonly everyMs: number;
  /**
   * Milliseconds from the start of a round to that of the next, at least, also when it is woken: what comes meanwhile is one round's work.
   * Default: 0.
   */
  readonly restMs?: number;
  /** One round. What it throws is logged, and the next round comes as usual. */
  readonly work: () => Promise<void> | void;
  readonly log?: Logger;
}

/** Something that a process does again and again, never twice at once. */
export class Loop implements Part {
  readonly name: string;
  readonly #options: LoopOptions;
  readonly #log: Logger;
  #timer: NodeJS.Timeout | undefined;
  #round: Promise<void> | null = null;
  #isWoken = false;
  #isStopped = true;
  #startedAt = Number.NEGATIVE_INFINITY;

  constructor(options: LoopOptions) {
    this.name = options.name;
    this.#options = options;
    this.#log = options.log ?? logger('loop');
  }

  /** The first round starts at once; this does not wait for it. */
  async start(): Promise<void> {
    this.#isStopped = false;
    this.wake();
  }

  /** Waits for the round that runs. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    await this.#round;
  }

  /** Starts a round now, or right after the one that runs, but for the rest between two. */
  wake(): void {
    this.#isWoken = true;
    if (this.#isStopped || this.#round) return;
    clearTimeout(this.#timer);
    const restMs = this.#startedAt + (this.#options.restMs ?? 0) - performance.now();
    if (restMs > 0) this.#timer = setTimeout(() => this.#start(), restMs);
    else this.#start();
  }

  #start(): void {
    this.#isWoken = false;
    this.#startedAt = performance.now();
    this.#round = this.#run().finally(() => {
      this.#round = null;
      if (this.#isStopped) return;
      if (this.#isWoken) this.wake();
      else this.#timer = setTimeout(() => this.#start(), this.#options.everyMs);
    });
  }

  async #run(): Promise<void> {
    try {
      await this.#options.work();
    } catch (error) {
      this.#log.warn({ loop: this.name, err: error }, 'a round failed; the next one tries again');
    }
  }
}
