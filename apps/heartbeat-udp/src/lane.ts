import { DomainError } from '@octavia/domain';
import type { ReportHeartbeatsRequest, ReportHeartbeatsResponse } from '@octavia/proto';
import { type Batch, LARGEST_BATCH, requestOf, takeBatch } from './batch.ts';
import type { Entry } from './entry.ts';

/** Sends one batch to an owner. Throws when it is not known whether the owner has taken it. */
export type Report = (request: ReportHeartbeatsRequest) => Promise<ReportHeartbeatsResponse>;

/** What became of a batch that is no longer sent. */
export interface LaneEvents {
  /** These left the queue and are on their way. */
  onSending(entries: readonly Entry[]): void;
  /** Whether the owner must be told the whole status. */
  needsStatus(entry: Entry, lane: Lane): boolean;
  /** The owner has taken these. */
  onTaken(entries: readonly Entry[], lane: Lane): void;
  /** The owner wants the whole status of these amphorae. */
  onWanted(amphoraIds: readonly string[]): void;
  /** The owner has not taken these: they are another's. */
  onNotOwned(entries: readonly Entry[], lane: Lane): void;
  /** Whether any of these still is this owner's. */
  ownsAny(entries: readonly Entry[], lane: Lane): boolean;
  /** It is not known whether the owner that has gone took these. */
  onAbandoned(entries: readonly Entry[], lane: Lane): void;
  /** The owner refuses the batch for good, which is a bug on one side. */
  onRefused(entries: readonly Entry[], error: unknown): void;
  /** A try failed and is repeated. */
  onRetry(error: unknown, attempt: number, lane: Lane): void;
}

export interface LaneTimes {
  /** Longest that an entry waits for others. */
  readonly batchMs: number;
  readonly firstRetryMs: number;
  readonly longestRetryMs: number;
  /** After so long without a batch an empty one says that we are here: the owner must tell silent amphorae from a silent listener. */
  readonly aliveMs: number;
  nowMs(): number;
}

/**
 * The way to one owner. One batch is under way at a time, so that numbers arrive in order and one that was lost on the way
 * back is known by its number; the next one gathers meanwhile, one entry for each amphora, which bounds it.
 */
export class Lane {
  readonly owner: string;
  /** Oldest first. */
  readonly pending = new Map<string, Entry>();
  readonly #senderId: string;
  readonly #report: Report;
  readonly #events: LaneEvents;
  readonly #times: LaneTimes;
  readonly #stopping = new AbortController();
  #number: bigint;
  #timer: NodeJS.Timeout | undefined;
  #underWay: Promise<void> | undefined;
  readonly #alive: NodeJS.Timeout;
  /** Of a lane whose owner does not own what we think: the shard map is on its way, so do not ask in a loop. */
  #pauseMs = 0;

  constructor(
    owner: string,
    sender: { readonly id: string; readonly lastNumber: bigint },
    report: Report,
    events: LaneEvents,
    times: LaneTimes,
  ) {
    this.owner = owner;
    this.#senderId = sender.id;
    this.#number = sender.lastNumber;
    this.#report = report;
    this.#events = events;
    this.#times = times;
    this.#alive = setTimeout(() => this.#sayAlive(), times.aliveMs);
  }

  /** Number of the newest batch. */
  get lastNumber(): bigint {
    return this.#number;
  }

  /** Call it after something was added to `pending`. */
  notify(): void {
    if (this.#underWay || this.#stopping.signal.aborted || this.pending.size === 0) return;
    if (this.pending.size >= LARGEST_BATCH && this.#pauseMs === 0) this.#send();
    else this.#timer ??= setTimeout(() => this.#send(), Math.max(this.#times.batchMs, this.#pauseMs));
  }

  /** Sends what waits, until nothing does or the time is up; then the lane is closed. */
  async drain(deadlineMs: number): Promise<void> {
    const end = this.#times.nowMs() + deadlineMs;
    const timeUp = setTimeout(() => this.close(), deadlineMs);
    while (this.#times.nowMs() < end && !this.#stopping.signal.aborted) {
      if (!this.#underWay && this.pending.size > 0) this.#send();
      if (!this.#underWay) break;
      await this.#underWay;
    }
    clearTimeout(timeUp);
    this.close();
    await this.#underWay;
  }

  /** Ends retries. A call under way ends by its own deadline, and its answer still counts. */
  close(): void {
    clearTimeout(this.#timer);
    clearTimeout(this.#alive);
    this.#stopping.abort();
  }

  #send(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#pauseMs = 0;
    if (this.#underWay || this.pending.size === 0) return;
    this.#number += 1n;
    const batch = takeBatch(this.#number, this.pending, (entry) => this.#events.needsStatus(entry, this));
    this.#events.onSending(batch.entries);
    this.#run(this.#deliver(batch));
  }

  #run(underWay: Promise<void>): void {
    this.#underWay = underWay.finally(() => {
      this.#underWay = undefined;
      if (!this.#stopping.signal.aborted) this.#alive.refresh();
      this.notify();
    });
  }

  /** Sends nothing, once: what matters is that it comes now. A real batch that is under way or waits says the same. */
  #sayAlive(): void {
    if (this.#underWay || this.#stopping.signal.aborted) return;
    if (this.pending.size > 0) {
      this.#send();
      return;
    }
    this.#number += 1n;
    const request = { senderId: this.#senderId, number: this.#number, heartbeats: [] };
    this.#run(this.#report(request).then(ignore, ignore));
  }

  async #deliver(batch: Batch): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        const response = await this.#report(requestOf(this.#senderId, batch, this.#times.nowMs()));
        return this.#settle(batch, response);
      } catch (error) {
        if (isRefusal(error)) return this.#events.onRefused(batch.entries, error);
        this.#events.onRetry(error, attempt, this);
      }
      await this.#wait(attempt);
      const isGone = this.#stopping.signal.aborted || !this.#events.ownsAny(batch.entries, this);
      if (isGone) return this.#events.onAbandoned(batch.entries, this);
    }
  }

  #settle(batch: Batch, response: ReportHeartbeatsResponse): void {
    const notOwned = new Set(response.notOwned);
    const taken = batch.entries.filter((entry) => !notOwned.has(entry.shard));
    this.#events.onTaken(taken, this);
    this.#events.onWanted(response.wantedStatuses);
    if (taken.length === batch.entries.length) return;
    this.#pauseMs = this.#times.firstRetryMs;
    this.#events.onNotOwned(
      batch.entries.filter((entry) => notOwned.has(entry.shard)),
      this,
    );
  }

  /** Waits before the next try: longer each time, and by chance, so that listeners do not come back together. */
  async #wait(attempt: number): Promise<void> {
    const { firstRetryMs, longestRetryMs } = this.#times;
    const longest = Math.min(firstRetryMs * 2 ** Math.min(attempt - 1, 10), longestRetryMs);
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, longest * (0.5 + Math.random() / 2));
    this.#stopping.signal.addEventListener('abort', () => resolve(), { once: true });
    if (this.#stopping.signal.aborted) resolve();
    await promise;
    clearTimeout(timer);
  }
}

/** Bad, or too large: the same again would be refused again. */
function isRefusal(error: unknown): boolean {
  return error instanceof DomainError && (error.kind === 'invalid' || error.kind === 'quota');
}

const ignore = (): void => {};
