import { setTimeout as sleep } from 'node:timers/promises';
import { Problem } from './problem.ts';

export interface Wait {
  /** Continues the sentence "Not within 30 s: …". */
  readonly what: string;
  readonly limitMs: number;
  /** Milliseconds between two looks. */
  readonly everyMs: number;
  readonly signal: AbortSignal;
}

/**
 * Looks again and again until there is something, and returns it with the milliseconds that it took.
 * @throws Problem after the limit; the signal's reason when it is aborted
 */
export async function until<T>(
  { what, limitMs, everyMs, signal }: Wait,
  look: () => Promise<T | undefined>,
): Promise<{ readonly found: T; readonly ms: number }> {
  const startedAt = performance.now();
  for (;;) {
    signal.throwIfAborted();
    const found = await look();
    const ms = Math.round(performance.now() - startedAt);
    if (found !== undefined) return { found, ms };
    if (ms > limitMs) throw new Problem(`Not within ${limitMs / 1000} s: ${what}.`);
    await sleep(everyMs, undefined, { signal }).catch(() => signal.throwIfAborted());
  }
}
