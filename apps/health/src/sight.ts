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
  #lastLook: number | null = null;
  #lastBatch: number | null = null;
  #clearFrom = Number.NEGATIVE_INFINITY;
  #isDatabaseAway = false;

  /** @param maxGapMs between two looks; a longer gap says that this process was stopped */
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

  /** Looks whether silence can be judged now. Null: it can. Call it at each search. */
  look(): Blindness | null {
    const now = this.#clock();
    const wasPaused = this.#lastLook !== null && now - this.#lastLook > this.#maxGapMs;
    this.#lastLook = now;
    if (wasPaused) {
      this.#recover(now);
      return 'paused';
    }
    if (this.#isDatabaseAway) return 'database_away';
    if (this.#lastBatch === null || now - this.#lastBatch > this.#maxBatchGapMs) return 'no_listener';
    return now < this.#clearFrom ? 'recovering' : null;
  }

  #recover(now: number): void {
    this.#clearFrom = now + this.#timeoutMs;
  }
}
