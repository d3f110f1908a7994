import { busyShare, type Moment, moment } from '../machine-load.ts';
import { type Benchmark, distribution, type Figure } from '../measure.ts';
import { type Blow, inRhythm } from '../rhythm.ts';
import { killAll, LIMIT_MS, Stage, type Target } from '../stage.ts';

/** Of each kind. Source: the goal is stated for 50. */
const TIMES = 50;
const CAST = { pairs: 4, singles: 4, spares: 5 } as const;
/** Between two kills at least. A repair takes 4.5 s, so that one or two run when the next one dies. */
const EVERY_MS = 2_500;
const PAIR_GOAL_MS = 1_000;
const SINGLE_GOAL_MS = 5_000;
/** The quickest takeover misses three adverts, 300 ms: what is shorter than this was no death. */
const FELT_MS = 50;

/** How an amphora dies. */
interface Death {
  readonly what: string;
  readonly kind: Target['kind'];
  /** What to do, with all that must be known before. */
  prepare(stage: Stage, holder: string): () => void;
  /** Undoes it, where the amphora outlives it. */
  readonly mend?: (stage: Stage, holder: string) => void;
}

const processes = {
  what: 'all its processes killed',
  prepare: (stage: Stage, holder: string) => {
    const pids = stage.processesOf(holder);
    return () => killAll(pids);
  },
};
const power = {
  what: 'power cut, processes and links at once',
  prepare: (stage: Stage, holder: string) => {
    const pids = stage.processesOf(holder);
    return () => {
      for (const network of ['vip', 'management'] as const) stage.cut(holder, network, 'down');
      killAll(pids);
    };
  },
};
const link = {
  what: 'its link to clients cut',
  prepare: (stage: Stage, holder: string) => () => stage.cut(holder, 'vip', 'down'),
  mend: (stage: Stage, holder: string) => stage.mend(holder, 'vip'),
};

const DEATHS: readonly Death[] = [
  ...[processes, power, link].map((death) => ({ ...death, kind: 'pair' as const })),
  ...[processes, power].map((death) => ({ ...death, kind: 'single' as const })),
];
const NAMES = { pair: 'pair, master', single: 'single with a spare' };
const GOALS = { pair: PAIR_GOAL_MS, single: SINGLE_GOAL_MS };

export const kills: Benchmark = {
  name: 'kills',
  what: 'amphorae die under load while others are repaired, in namespaces: gap of a client that asks every 10 ms (root)',
  isLong: true,
  async run(signal, times = TIMES) {
    const stage = await Stage.open(CAST, signal);
    try {
      const measured = DEATHS.map((death) => new Measured(stage, death, times));
      const before = moment();
      await inRhythm(stage, measured, EVERY_MS, signal);
      return [...measured.flatMap((one) => one.figures()), ...aside(stage, before)];
    } finally {
      await stage.close();
    }
  },
};

/** One kind of death, and what it did to clients. */
class Measured implements Blow {
  readonly kind;
  readonly times: number;
  readonly takesSpare: boolean;
  readonly #stage: Stage;
  readonly #death: Death;
  readonly #gaps: number[] = [];
  readonly #repairs: number[] = [];

  constructor(stage: Stage, death: Death, times: number) {
    this.#stage = stage;
    this.#death = death;
    this.times = times;
    this.kind = death.kind;
    this.takesSpare = death.mend === undefined;
  }

  /** The client's longest gap until everything is whole again. */
  async strike(target: Target, holder: string, signal: AbortSignal): Promise<void> {
    const { client } = target;
    const strike = this.#death.prepare(this.#stage, holder);
    client.forget(Date.now() - LIMIT_MS);
    const since = Date.now();
    strike();
    await client.answered(LIMIT_MS, since + 1, signal);
    // A request that was under way is not the first of the next holder.
    await client.answered(LIMIT_MS, undefined, signal);
    this.#death.mend?.(this.#stage, holder);
    await this.#stage.whole(target, signal, this.#death.mend ? [] : [holder]);
    this.#repairs.push(Date.now() - since);
    const gap = client.gap(since);
    if (gap < FELT_MS) throw new Error(`Nobody felt that amphora ${holder} of ${target.vip} was struck: ${gap} ms.`);
    this.#gaps.push(gap);
  }

  figures(): Figure[] {
    const what = `${NAMES[this.kind]}: ${this.#death.what}`;
    return [
      distribution(what, this.#gaps, [50, 99], { of: 'p99', below: GOALS[this.kind] }),
      distribution(`${what}; until it is whole again`, this.#repairs, [50]),
    ];
  }
}

/** What the machine and the client themselves may have added. */
function aside({ prober }: Stage, before: Moment): Figure[] {
  const busy = {
    what: 'the processors, busy',
    unit: '%',
    values: { value: busyShare(before) * 100 },
    count: 1,
  } as const;
  return [distribution('how much later than planned the client asked', prober.delays, [50, 99]), busy];
}
