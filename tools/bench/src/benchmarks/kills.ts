import type { Topology } from '@octavia/proto';
import { type Benchmark, distribution, type Figure } from '../measure.ts';
import { Stage } from '../stage.ts';

/** Of each kind. Source: the goal is stated for 50. */
const TIMES = 50;
const LIMIT_MS = 60_000;
/** How long a link stays cut: until the other serves, and a second more. */
const PAIR_GOAL_MS = 1_000;
const SINGLE_GOAL_MS = 5_000;

interface Blow {
  readonly what: string;
  befall(stage: Stage, holder: string): void;
  /** Undoes it, where the amphora outlives it. */
  readonly mend?: (stage: Stage, holder: string) => void;
}

const processes: Blow = { what: 'all its processes killed', befall: (stage, holder) => stage.kill(holder) };
const power: Blow = {
  what: 'power cut, processes and links at once',
  befall: (stage, holder) => stage.kill(holder, true),
};
const link: Blow = {
  what: 'its link to clients cut',
  befall: (stage, holder) => stage.cut(holder, 'vip', 'down'),
  mend: (stage, holder) => stage.mend(holder, 'vip'),
};

export const kills: Benchmark = {
  name: 'kills',
  what: 'an amphora dies under load, in namespaces: gap of a client that asks every 10 ms, until everything is whole again (root)',
  isLong: true,
  async run(signal, times = TIMES) {
    return [
      ...(await gaps('TOPOLOGY_ACTIVE_STANDBY', 'pair, master', [processes, power, link], PAIR_GOAL_MS, times, signal)),
      ...(await gaps('TOPOLOGY_SINGLE', 'single with a spare', [processes, power], SINGLE_GOAL_MS, times, signal)),
    ];
  },
};

async function gaps(
  topology: Topology,
  whose: string,
  blows: readonly Blow[],
  belowMs: number,
  times: number,
  signal: AbortSignal,
): Promise<Figure[]> {
  const stage = await Stage.open(topology, signal);
  try {
    const figures: Figure[] = [];
    for (const blow of blows) {
      const measured: number[] = [];
      for (let i = 0; i < times && !signal.aborted; i++) measured.push(await strike(stage, blow));
      figures.push(distribution(`${whose}: ${blow.what}`, measured, [50, 99], { of: 'p99', below: belowMs }));
    }
    return figures;
  } finally {
    await stage.close();
  }
}

/** The client's longest gap until everything is whole again. */
async function strike(stage: Stage, { befall, mend }: Blow): Promise<number> {
  const { client } = stage;
  const holder = await stage.settled();
  client.forget(Date.now() - LIMIT_MS);
  const since = Date.now();
  befall(stage, holder);
  await client.answered(LIMIT_MS, since + 1);
  // A request that was under way is not the first of the next holder.
  await client.answered(LIMIT_MS);
  mend?.(stage, holder);
  await stage.settled(mend ? [] : [holder]);
  return client.gap(since);
}
