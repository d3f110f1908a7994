import { setTimeout as sleep } from 'node:timers/promises';
import { type Frame, Frames, sharedMs } from '../frames.ts';
import { type Benchmark, distribution, type Figure, type Goal } from '../measure.ts';
import { type Blow, inRhythm } from '../rhythm.ts';
import { type Cut, LIMIT_MS, Stage, type Target } from '../stage.ts';

/** With cut links. Source: the goal is stated for 200. */
const TIMES = 200;
/** Cuts of the management network take a failover each, so there are so many times fewer. */
const SHARE_OF_MANAGEMENT = 0.1;
const CAST = { pairs: 5, singles: 3, spares: 4 } as const;
/** Between two cuts at least. Most take no repair. */
const EVERY_MS = 500;
/** A link stays cut until the other serves and so much longer, and is looked at for as long after that. */
const LOOK_MS = 1_500;
/** Frames of the holder are heard for so long before the cut. */
const BEFORE_MS = 200;
const LINK_GOAL: Goal = { of: 'max', below: 300 };
/** Never: within one tick of the clock. */
const MANAGEMENT_GOAL: Goal = { of: 'max', below: 1 };

export const twoMacs: Benchmark = {
  name: 'two-macs',
  what: 'links are cut: how long a client is answered for a VIP by two MAC addresses, in namespaces (root)',
  isLong: true,
  async run(signal, times = TIMES) {
    const half = Math.max(1, Math.ceil(times / 2));
    const few = Math.max(1, Math.ceil(times * SHARE_OF_MANAGEMENT));
    const stage = await Stage.open(CAST, signal);
    let frames: Frames | undefined;
    try {
      frames = await Frames.open(
        stage.guest,
        stage.targets.map(({ vip }) => vip),
      );
      const of = { stage, frames };
      const cuts = [
        new CutLink(of, 'pair, link to clients down, and up again', half, 'down'),
        new CutLink(of, 'pair, link to clients cut unseen, and back', half, 'detached'),
        new CutManagement(of, 'pair, management network alone cut', few, 'pair'),
        new CutManagement(of, 'single, management network alone cut', few, 'single'),
      ];
      await inRhythm(stage, cuts, EVERY_MS, signal);
      return cuts.map((one) => one.figure());
    } finally {
      frames?.close();
      await stage.close();
    }
  },
};

interface Parts {
  readonly stage: Stage;
  readonly frames: Frames;
}

/** A link of pairs: the other takes over, and gives way or not when the link is back. */
class CutLink implements Blow {
  readonly kind = 'pair';
  readonly takesSpare = false;
  readonly times: number;
  readonly #parts: Parts;
  readonly #what: string;
  readonly #how: Cut;
  readonly #measured: number[] = [];

  constructor(parts: Parts, what: string, times: number, how: Cut) {
    this.#parts = parts;
    this.#what = what;
    this.times = times;
    this.#how = how;
  }

  /** The longer of the times while the cut lasts, and after it. */
  async strike({ vip, client }: Target, holder: string, signal: AbortSignal): Promise<void> {
    const { stage, frames } = this.#parts;
    client.forget(Date.now() - LIMIT_MS);
    frames.take(vip);
    await sleep(BEFORE_MS, undefined, { signal });
    stage.cut(holder, 'vip', this.#how);
    await client.answered(LIMIT_MS, Date.now() + 1, signal);
    await sleep(LOOK_MS, undefined, { signal });
    const during = seen(frames.take(vip), 2);
    stage.mend(holder, 'vip');
    await sleep(LOOK_MS, undefined, { signal });
    this.#measured.push(Math.max(sharedMs(during), sharedMs(seen(frames.take(vip), 1))));
  }

  figure(): Figure {
    return distribution(this.#what, this.#measured, [50, 99], LINK_GOAL);
  }
}

/** The amphora lives and serves, and is taken for dead: it is fenced before its successor has the VIP. */
class CutManagement implements Blow {
  readonly kind: Target['kind'];
  readonly takesSpare = true;
  readonly times: number;
  readonly #parts: Parts;
  readonly #what: string;
  readonly #measured: number[] = [];

  constructor(parts: Parts, what: string, times: number, kind: Target['kind']) {
    this.#parts = parts;
    this.#what = what;
    this.times = times;
    this.kind = kind;
  }

  async strike(target: Target, holder: string, signal: AbortSignal): Promise<void> {
    const { stage, frames } = this.#parts;
    target.client.forget(Date.now() - LIMIT_MS);
    frames.take(target.vip);
    await sleep(BEFORE_MS, undefined, { signal });
    stage.cut(holder, 'management', 'down');
    await stage.whole(target, signal, [holder]);
    this.#measured.push(sharedMs(seen(frames.take(target.vip), 2)));
  }

  figure(): Figure {
    return distribution(this.#what, this.#measured, [50, 99], MANAGEMENT_GOAL);
  }
}

/** @throws Error when there were fewer senders than there must have been: then nothing was measured */
function seen(all: Frame[], senders: number): Frame[] {
  const macs = new Set(all.map(({ mac }) => mac));
  if (macs.size < senders) throw new Error(`Frames of ${macs.size} senders were seen, not of ${senders}.`);
  return all;
}
