import { setTimeout as sleep } from 'node:timers/promises';
import { LIMIT_MS, type Stage, type Target } from './stage.ts';

/** Before each blow one waits so long and up to twice as long, so that blows fall anywhere between two heartbeats, which come each second. */
const SPREAD_MS = 1_000;

/** Something that is done to a load balancer that is whole. */
export interface Blow {
  readonly kind: Target['kind'];
  /** How often. */
  readonly times: number;
  /** Whether an amphora is lost, and so a spare is taken. */
  readonly takesSpare: boolean;
  /** Returns when the load balancer is whole again. */
  strike(target: Target, holder: string, signal: AbortSignal): Promise<void>;
}

/**
 * Deals out all blows: the next one falls `everyMs` after the last at the earliest, on whichever load balancer of its kind is whole, while
 * others are still repaired. One that loses an amphora waits for a ready spare that nobody else may need.
 */
export async function inRhythm(
  stage: Stage,
  blows: readonly Blow[],
  everyMs: number,
  signal: AbortSignal,
): Promise<void> {
  const failed = new AbortController();
  const stop = AbortSignal.any([signal, failed.signal]);
  const rhythm = new Rhythm(stage, everyMs, stop);
  const queues = { pair: spread(blows, 'pair'), single: spread(blows, 'single') };
  const all = stage.targets.map(async (target) => {
    const queue = queues[target.kind];
    for (let blow = queue.shift(); blow; blow = queue.shift()) await rhythm.strike(target, blow);
  });
  const ended = await Promise.allSettled(all.map((one) => one.catch((error) => failed.abort(error))));
  await Promise.all(ended);
  stop.throwIfAborted();
}

/** Each blow as often as it says, spread evenly over the whole time. */
export function spread<T extends { readonly times: number; readonly kind: string }>(
  blows: readonly T[],
  kind: string,
): T[] {
  return blows
    .filter((blow) => blow.kind === kind)
    .flatMap((blow) => Array.from({ length: blow.times }, (_, i) => ({ at: (i + 0.5) / blow.times, blow })))
    .sort((a, b) => a.at - b.at)
    .map(({ blow }) => blow);
}

class Rhythm {
  readonly #stage: Stage;
  readonly #everyMs: number;
  readonly #signal: AbortSignal;
  /** Struck, and perhaps without their spare yet. */
  #inRepair = 0;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(stage: Stage, everyMs: number, signal: AbortSignal) {
    this.#stage = stage;
    this.#everyMs = everyMs;
    this.#signal = signal;
  }

  async strike(target: Target, blow: Blow): Promise<void> {
    await this.#stage.whole(target, this.#signal);
    await sleep(SPREAD_MS * (1 + Math.random()), undefined, { signal: this.#signal });
    const turn = this.#turn.then(() => this.#spareFor(blow));
    // The next one waits for this blow to fall, and then its time.
    this.#turn = turn.then(() => sleep(this.#everyMs, undefined, { signal: this.#signal })).catch(() => {});
    await turn;
    try {
      await blow.strike(target, await this.#stage.whole(target, this.#signal), this.#signal);
    } finally {
      if (blow.takesSpare) this.#inRepair -= 1;
    }
  }

  async #spareFor({ takesSpare }: Blow): Promise<void> {
    this.#signal.throwIfAborted();
    if (!takesSpare) return;
    const { overview } = this.#stage;
    await overview.until<true>(LIMIT_MS, this.#signal, async ({ spares }) =>
      spares > this.#inRepair ? { found: true } : { missing: `a spare: ${spares} for ${this.#inRepair} repairs` },
    );
    this.#inRepair += 1;
  }
}
