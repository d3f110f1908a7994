import { setTimeout as sleep } from 'node:timers/promises';
import { type Frame, Frames, sharedMs } from '../frames.ts';
import { type Benchmark, distribution, type Figure, type Goal } from '../measure.ts';
import { type Cut, Stage } from '../stage.ts';

/** With cut links. Source: the goal is stated for 200. */
const TIMES = 200;
/** Cuts of the management network take a failover each, so there are so many times fewer. */
const SHARE_OF_MANAGEMENT = 0.1;
const LIMIT_MS = 60_000;
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
    const pair = await Stage.open('TOPOLOGY_ACTIVE_STANDBY', signal);
    const figures: Figure[] = await shared(pair, [
      { what: 'pair, link to clients down, and up again', times: half, goal: LINK_GOAL, once: cutLink('down') },
      { what: 'pair, link to clients cut unseen, and back', times: half, goal: LINK_GOAL, once: cutLink('detached') },
      { what: 'pair, management network alone cut', times: few, goal: MANAGEMENT_GOAL, once: cutManagement },
    ]);
    signal.throwIfAborted();
    const single = await Stage.open('TOPOLOGY_SINGLE', signal);
    const what = 'single, management network alone cut';
    figures.push(...(await shared(single, [{ what, times: few, goal: MANAGEMENT_GOAL, once: cutManagement }])));
    return figures;
  },
};

interface Kind {
  readonly what: string;
  readonly times: number;
  readonly goal: Goal;
  once(stage: Stage, frames: Frames): Promise<number>;
}

async function shared(stage: Stage, kinds: readonly Kind[]): Promise<Figure[]> {
  const frames = await Frames.open(stage.guest, stage.vip);
  try {
    const figures: Figure[] = [];
    for (const { what, times, goal, once } of kinds) {
      const measured: number[] = [];
      for (let i = 0; i < times; i++) measured.push(await once(stage, frames));
      figures.push(distribution(what, measured, [50, 99], goal));
    }
    return figures;
  } finally {
    frames.close();
    await stage.close();
  }
}

/** The longer of the times while the cut lasts, and after it. */
function cutLink(how: Cut) {
  return async (stage: Stage, frames: Frames): Promise<number> => {
    const holder = await stage.settled();
    frames.take();
    await sleep(BEFORE_MS);
    stage.cut(holder, 'vip', how);
    await stage.client.answered(LIMIT_MS, Date.now() + 1);
    await sleep(LOOK_MS);
    const during = seen(frames, 2);
    stage.mend(holder, 'vip');
    await sleep(LOOK_MS);
    return Math.max(sharedMs(during), sharedMs(seen(frames, 1)));
  };
}

/** The amphora lives and serves, and is taken for dead: it is fenced before its successor has the VIP. */
async function cutManagement(stage: Stage, frames: Frames): Promise<number> {
  const holder = await stage.settled();
  frames.take();
  stage.cut(holder, 'management', 'down');
  await stage.settled([holder]);
  return sharedMs(seen(frames, 2));
}

/** @throws Error when there were fewer senders than there must have been: then nothing was measured */
function seen(frames: Frames, senders: number): Frame[] {
  const all = frames.take();
  const macs = new Set(all.map(({ mac }) => mac));
  if (macs.size < senders) throw new Error(`Frames of ${macs.size} senders were seen, not of ${senders}.`);
  return all;
}
