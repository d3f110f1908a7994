import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Installation, NOOP, SERVICES } from '../installation.ts';
import type { Benchmark, Figure } from '../measure.ts';
import { several } from './noop.ts';

const LOAD_BALANCERS = 1_000;
/** After which a process is idle: garbage of its start is collected. */
const QUIET_MS = 15_000;
const GOAL_MIB = 600;

export const memory: Benchmark = {
  name: 'memory',
  what: `memory of the services, idle and after ${LOAD_BALANCERS} load balancers (noop drivers)`,
  async run(signal) {
    const installation = await Installation.start({ ...NOOP, SPARE_AMPHORA_POOL_SIZE: '0' }, { signal });
    try {
      await sleep(QUIET_MS, undefined, { signal });
      const idle = figuresOf(installation, 'idle');
      await several(LOAD_BALANCERS, installation);
      await sleep(QUIET_MS, undefined, { signal });
      return [...idle, ...figuresOf(installation, `after ${LOAD_BALANCERS} load balancers`)];
    } finally {
      await installation.stop();
    }
  },
};

function figuresOf(installation: Installation, when: string): Figure[] {
  const each = SERVICES.map((service) => ({ service, ...memoryOf(installation.pidOf(service)) }));
  const sum = (pick: (one: { rss: number; pss: number }) => number): number =>
    each.reduce((total, one) => total + pick(one), 0);
  return [
    ...each.map(({ service, rss, pss }) => ({
      what: `${service}, ${when}`,
      unit: 'MiB' as const,
      values: { RSS: rss, PSS: pss },
      count: 1,
    })),
    {
      what: `all five, ${when}`,
      unit: 'MiB',
      values: { RSS: sum(({ rss }) => rss), PSS: sum(({ pss }) => pss) },
      count: 1,
      goal: { of: 'RSS', below: GOAL_MIB },
    },
  ];
}

/** RSS counts what processes share once for each, PSS divides it among them. In MiB. */
function memoryOf(pid: number): { rss: number; pss: number } {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  const of = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1]) / 1024;
  return { rss: of('Rss'), pss: of('Pss') };
}
