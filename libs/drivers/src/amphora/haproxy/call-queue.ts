import { AmphoraUnavailable } from '../../errors.ts';

/** Lets the calls to one amphora go one by one, in order: an agent handles one request at a time and makes the next wait. */
export class CallQueue {
  readonly #maxWaiting: number;
  readonly #lines = new Map<string, { waiting: number; tail: Promise<void> }>();

  constructor(maxWaiting: number) {
    this.#maxWaiting = maxWaiting;
  }

  /** Runs `work` when its turn comes. @throws AmphoraUnavailable when too many wait; the signal's reason when it aborts first */
  async run<T>(amphoraId: string, signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
    const line = this.#lines.get(amphoraId) ?? { waiting: 0, tail: Promise.resolve() };
    if (line.waiting > this.#maxWaiting) {
      throw new AmphoraUnavailable(
        `${this.#maxWaiting} calls wait for the agent of amphora ${amphoraId} already. Try again later.`,
        { amphoraId, maxWaiting: String(this.#maxWaiting) },
      );
    }
    this.#lines.set(amphoraId, line);
    const turn = Promise.withResolvers<void>();
    const before = line.tail;
    line.tail = before.then(() => turn.promise);
    line.waiting++;
    try {
      await orAborted(before, signal);
      return await work();
    } finally {
      turn.resolve();
      if (--line.waiting === 0) this.#lines.delete(amphoraId);
    }
  }
}

async function orAborted(turn: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  signal?.throwIfAborted();
  if (!signal) return await turn;
  const aborted = Promise.withResolvers<never>();
  const abort = () => aborted.reject(signal.reason);
  signal.addEventListener('abort', abort, { once: true });
  try {
    await Promise.race([turn, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
