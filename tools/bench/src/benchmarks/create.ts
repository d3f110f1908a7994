import { Installation } from '../installation.ts';
import { type Benchmark, distribution, type Figure, type Goal } from '../measure.ts';
import { startWeb, until, untilAnswer, type Web } from '../traffic.ts';

const PORT = 8080;
const ANSWER_LIMIT_MS = 60_000;
const SPARE_LIMIT_MS = 30_000;
/** A new amphora is given time to settle: on two cores its first seconds disturb the next measurement. */
const WARM_TRIALS = 20;
const COLD_TRIALS = 10;

interface Trial {
  /** From the first call to the answer of the last, and to the first good request. */
  readonly accepted: number;
  readonly served: number;
}

export const createWarm: Benchmark = {
  name: 'create-warm',
  what: 'load balancer, listener, pool and member created, to the first good request, from a spare (local drivers)',
  run: (signal) => measure('1', WARM_TRIALS, { of: 'p99', below: 2_000 }, signal),
};

export const createCold: Benchmark = {
  name: 'create-cold',
  what: 'the same without spares: the amphora is built',
  run: (signal) => measure('0', COLD_TRIALS, { of: 'p99', below: 10_000 }, signal),
};

async function measure(spares: string, trials: number, goal: Goal, signal: AbortSignal): Promise<Figure[]> {
  const installation = await Installation.start({ SPARE_AMPHORA_POOL_SIZE: spares }, { signal });
  const web = await startWeb(await installation.api.hostAddress());
  try {
    const measured: Trial[] = [];
    for (let trial = 0; trial < trials && !signal.aborted; trial++) {
      if (spares !== '0') await untilSpare(installation);
      measured.push(await createOne(installation, web));
    }
    return [
      distribution(
        'all four calls answered',
        measured.map(({ accepted }) => accepted),
        [50, 99],
      ),
      distribution(
        'first call to first good request',
        measured.map(({ served }) => served),
        [50, 99],
        goal,
      ),
    ];
  } finally {
    web.close();
    await installation.stop();
  }
}

export function untilSpare({ api }: Installation): Promise<void> {
  return until('a spare is ready', SPARE_LIMIT_MS, async () => (await api.amphorae('AMPHORA_STATUS_READY')).length > 0);
}

async function createOne({ api }: Installation, web: Web): Promise<Trial> {
  const startedAt = performance.now();
  const { id, vip } = await api.createLoadBalancer();
  await api.addMember(await api.addListener(id, PORT), web.port, web.address);
  const acceptedAt = performance.now();
  const { at } = await untilAnswer(vip, PORT, ANSWER_LIMIT_MS);
  await api.deleteLoadBalancer(id);
  return { accepted: acceptedAt - startedAt, served: at - startedAt };
}
