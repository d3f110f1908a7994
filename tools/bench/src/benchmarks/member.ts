import { Installation } from '../installation.ts';
import { type Benchmark, distribution, type Figure } from '../measure.ts';
import { startWeb, untilAnswer } from '../traffic.ts';
import { untilSpare } from './create.ts';

const PORT = 8080;
const TRIALS = 50;
const LIMIT_MS = 30_000;

export const member: Benchmark = {
  name: 'member',
  what: 'a member added to a pool that carries traffic, to the first request that it answers (local drivers)',
  async run(signal) {
    const installation = await Installation.start({}, { signal });
    const [first, second] = [await startWeb(), await startWeb()];
    try {
      await untilSpare(installation);
      const { api } = installation;
      const { id, vip } = await api.createLoadBalancer();
      const pool = await api.addListener(id, PORT);
      await api.addMember(pool, first.port);
      await untilAnswer(vip, PORT, LIMIT_MS);
      await api.untilActive(id);
      return await measure(installation, { id, vip, pool, port: second.port }, signal);
    } finally {
      first.close();
      second.close();
      await installation.stop();
    }
  },
};

interface Target {
  readonly id: string;
  readonly vip: string;
  readonly pool: string;
  /** Of the web server that is added and removed. */
  readonly port: number;
}

async function measure({ api }: Installation, target: Target, signal: AbortSignal): Promise<Figure[]> {
  const { id, vip, pool, port } = target;
  const live: number[] = [];
  const active: number[] = [];
  let lost = 0;
  for (let trial = 0; trial < TRIALS && !signal.aborted; trial++) {
    const startedAt = performance.now();
    const added = await api.addMember(pool, port);
    const isActive = api.untilActive(id).then(() => performance.now());
    const { at, failed } = await untilAnswer(vip, PORT, LIMIT_MS, (body) => body === String(port));
    live.push(at - startedAt);
    active.push((await isActive) - startedAt);
    lost += failed;
    await api.removeMember(added);
    await api.untilActive(id);
  }
  return [
    distribution('call to its first request', live, [50, 99], { of: 'p50', below: 100 }),
    distribution('call to ACTIVE', active, [50, 99]),
    {
      what: 'requests lost in the changes',
      unit: '',
      values: { value: lost },
      count: live.length,
      goal: { of: 'value', below: 1 },
    },
  ];
}
