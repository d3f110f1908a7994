import type { Clock } from './clock.ts';

/** Why silence means nothing at the moment. */
export type Blindness = 'no_listener' | 'paused' | 'database_away' | 'recovering';

/**
 * Whether we can judge others' silence: not while we are blind ourselves, and not before everybody had the time of one timeout
 * to be heard again. Blind is who was paused, has no database, or has had no batch from any listener for half a timeout:
 * listeners also send batches that hold nothing, and an amphora's last heartbeat is older than its listener's last batch, so
 * after a whole timeout it would be too late to notice.
 */
export class Sight {
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  readonly #maxGapMs: number;
  readonly #maxBatchGapMs: number;
  #lastTick: number | null = null;
  #lastBatch: number | null = null;
  #clearFrom = Number.NEGATIVE_INFINITY;
  #isDatabaseAway = false;

  /** @param maxGapMs between two ticks; a longer gap says that this process was stopped */
  constructor(clock: Clock, timeoutMs: number, maxGapMs: number) {
    this.#clock = clock;
    this.#timeoutMs = timeoutMs;
    this.#maxGapMs = maxGapMs;
    this.#maxBatchGapMs = timeoutMs / 2;
  }

  /** A listener sent a batch. */
  batch(): void {
    const now = this.#clock();
    if (this.#lastBatch === null || now - this.#lastBatch > this.#maxBatchGapMs) this.#recover(now);
    this.#lastBatch = now;
  }

  databaseFailed(): void {
    this.#isDatabaseAway = true;
  }

  databaseAnswered(): void {
    if (this.#isDatabaseAway) this.#recover(this.#clock());
    this.#isDatabaseAway = false;
  }

  /**
   * Says that this process is not stopped; returns whether it was since the last time. Call it on a timer: a search for hundreds of silent
   * amphorae takes long, and to be busy is not to be blind.
   */
  tick(): boolean {
    const now = this.#clock();
    const wasPaused = this.#lastTick !== null && now - this.#lastTick > this.#maxGapMs;
    this.#lastTick = now;
    if (wasPaused) this.#recover(now);
    return wasPaused;
  }

  /** Looks whether silence can be judged now. Null: it can. Call it at each search. */
  look(): Blindness | null {
    const now = this.#clock();
    if (this.tick()) return 'paused';
    if (this.#isDatabaseAway) return 'database_away';
    if (this.#lastBatch === null || now - this.#lastBatch > this.#maxBatchGapMs) return 'no_listener';
    return now < this.#clearFrom ? 'recovering' : null;
  }

  #recover(now: number): void {
    this.#clearFrom = now + this.#timeoutMs;
  }
}
