import { setTimeout as sleep } from 'node:timers/promises';
import { startEcho } from '../echo.ts';
import { Installation, NOOP } from '../installation.ts';
import { type Benchmark, distribution, type Figure } from '../measure.ts';
import { processorTime } from '../processor-time.ts';

/** Creates before the first that counts: code is compiled and pools are filled by then. */
const WARM_UP = 50;
const SINGLE_TRIALS = 200;
const RATE_SECONDS = 8;
const CLIENTS = 16;
const GET_SECONDS = 4;

export const noop: Benchmark = {
  name: 'noop',
  what: 'the controller by itself: drivers that do nothing',
  async run(signal) {
    const installation = await Installation.start({ ...NOOP, SPARE_AMPHORA_POOL_SIZE: '0' }, { signal });
    try {
      await several(WARM_UP, installation);
      const single = await creates(installation, signal);
      const rate = await createRate(installation, signal);
      const get = await getRate(installation, signal);
      return [...single, ...rate, get];
    } finally {
      await installation.stop();
    }
  },
};

/** Creates `count` load balancers from 16 clients at once, each ACTIVE before its client's next. */
export async function several(count: number, { api }: Installation): Promise<void> {
  let left = count;
  const client = async (): Promise<void> => {
    while (left-- > 0) await api.untilActive((await api.createLoadBalancer()).id);
  };
  await Promise.all(Array.from({ length: CLIENTS }, client));
}

async function creates({ api }: Installation, signal: AbortSignal): Promise<Figure[]> {
  const answered: number[] = [];
  const active: number[] = [];
  for (let trial = 0; trial < SINGLE_TRIALS && !signal.aborted; trial++) {
    const startedAt = performance.now();
    const { id } = await api.createLoadBalancer();
    answered.push(performance.now() - startedAt);
    await api.untilActive(id);
    active.push(performance.now() - startedAt);
    await sleep(5);
  }
  return [
    distribution('create answered', answered, [50, 95], { of: 'p50', below: 10 }),
    distribution('create ACTIVE, as a watcher sees it', active, [50, 95], { of: 'p50', below: 50 }),
  ];
}

async function createRate(installation: Installation, signal: AbortSignal): Promise<Figure[]> {
  const { api } = installation;
  const before = processorTime(installation);
  const startedAt = performance.now();
  let created = 0;
  const client = async (): Promise<void> => {
    while (performance.now() - startedAt < RATE_SECONDS * 1000 && !signal.aborted) {
      await api.untilActive((await api.createLoadBalancer()).id);
      created += 1;
    }
  };
  await Promise.all(Array.from({ length: CLIENTS }, client));
  const seconds = (performance.now() - startedAt) / 1000;
  const used = Object.entries(processorTime(installation)).map(([name, time]): [string, number] => [
    name,
    (time - (before[name] ?? 0)) / created,
  ]);
  return [
    {
      what: `load balancers created to ACTIVE by ${CLIENTS} clients`,
      unit: '/s',
      values: { value: created / seconds },
      count: created,
      goal: { of: 'value', above: 100 },
    },
    { what: 'processor time of each, by process', unit: 'ms', values: Object.fromEntries(used), count: created },
  ];
}

async function getRate({ api }: Installation, signal: AbortSignal): Promise<Figure> {
  const { id } = await api.createLoadBalancer();
  await api.untilActive(id);
  const echo = await startEcho(api);
  try {
    await callsPerSecond(() => api.getLoadBalancer(id), signal, 1);
    await callsPerSecond(() => echo.call(), signal, 1);
    const get = await callsPerSecond(() => api.getLoadBalancer(id), signal);
    const bare = await callsPerSecond(() => echo.call(), signal);
    return {
      what: `get calls of ${CLIENTS} clients`,
      unit: '/s',
      values: { value: get.rate },
      count: get.count,
      baseline: { what: 'echo of a bare grpc-js server with mutual TLS, no database', value: bare.rate },
    };
  } finally {
    await echo.stop();
  }
}

async function callsPerSecond(call: () => Promise<unknown>, signal: AbortSignal, seconds = GET_SECONDS) {
  const startedAt = performance.now();
  let count = 0;
  const client = async (): Promise<void> => {
    while (performance.now() - startedAt < seconds * 1000 && !signal.aborted) {
      await call();
      count += 1;
    }
  };
  await Promise.all(Array.from({ length: CLIENTS }, client));
  return { count, rate: count / ((performance.now() - startedAt) / 1000) };
}
