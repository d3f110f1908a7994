import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { Installation } from '../installation.ts';
import { type Benchmark, distribution } from '../measure.ts';
import { startWeb, until, untilAnswer } from '../traffic.ts';
import { untilSpare } from './create.ts';

const PORT = 8080;
const TRIALS = 20;
const LIMIT_MS = 60_000;
/** So that deaths fall anywhere between two heartbeats, which come each second. */
const SPREAD_MS = 1_000;

/** What happened, in milliseconds after the death. */
interface Timeline {
  readonly declaredDead: number;
  readonly fenced: number;
  readonly vipPlugged: number;
  readonly pushed: number;
  readonly served: number;
}

export const failover: Benchmark = {
  name: 'failover',
  what: 'kill -9 of all processes of an amphora, to the first good request from its successor (local drivers, a spare)',
  async run(signal) {
    const installation = await Installation.start({}, { signal });
    const web = await startWeb(await installation.api.hostAddress());
    const database = await installation.database();
    try {
      await untilSpare(installation);
      const { api } = installation;
      const { id, vip } = await api.createLoadBalancer();
      await api.addMember(await api.addListener(id, PORT), web.port, web.address);
      await untilAnswer(vip, PORT, LIMIT_MS);
      const timelines: Timeline[] = [];
      for (let trial = 0; trial < TRIALS && !signal.aborted; trial++) {
        await untilSpare(installation);
        await api.untilActive(id);
        await sleep(SPREAD_MS * (1 + Math.random()));
        timelines.push(await killOne(installation, database, id, vip));
      }
      return figures(timelines);
    } finally {
      web.close();
      await database.end();
      await installation.stop();
    }
  },
};

async function killOne(installation: Installation, database: pg.Client, id: string, vip: string): Promise<Timeline> {
  const [amphora] = await installation.api.amphorae('AMPHORA_STATUS_ALLOCATED', id);
  if (amphora === undefined) throw new Error(`No amphora serves load balancer ${id}.`);
  const processes = installation.processesWith(amphora);
  const killedAt = performance.now();
  const killedAtTime = Date.now();
  for (const pid of processes) process.kill(pid, 'SIGKILL');
  const { at } = await untilAnswer(vip, PORT, LIMIT_MS);
  // The last of them is told a moment after the traffic is back.
  let told = new Map<string, number>();
  await until('the failover is told', LIMIT_MS, async () => {
    told = await eventsAfter(database, id, killedAtTime);
    return told.has('configuration_pushed');
  });
  const after = (kind: string): number => told.get(kind) ?? Number.NaN;
  return {
    declaredDead: after('amphora_silent'),
    fenced: after('amphora_fenced'),
    vipPlugged: after('vip_plugged'),
    pushed: after('configuration_pushed'),
    served: at - killedAt,
  };
}

/** The first event of each kind, in milliseconds after `time`. */
async function eventsAfter(database: pg.Client, id: string, time: number): Promise<Map<string, number>> {
  // The same machine, so the same clock.
  const { rows } = await database.query<{ kind: string; at: string }>(
    `SELECT kind, extract(epoch FROM min(created_at)) * 1000 - $2::double precision AS at FROM event
     WHERE load_balancer_id = $1 AND created_at >= to_timestamp($2::double precision / 1000) GROUP BY kind`,
    [id, time],
  );
  return new Map(rows.map((row) => [row.kind, Number(row.at)]));
}

function figures(timelines: readonly Timeline[]) {
  const all = (pick: (one: Timeline) => number): number[] => timelines.map(pick);
  return [
    distribution(
      'death to first good request',
      all(({ served }) => served),
      [50, 99],
      { of: 'p99', below: 5_000 },
    ),
    distribution(
      'detection: death to declared dead',
      all(({ declaredDead }) => declaredDead),
      [50, 99],
    ),
    distribution(
      'repair: declared dead to first good request',
      all((one) => one.served - one.declaredDead),
      [50, 99],
    ),
    distribution(
      'of it, to fenced',
      all((one) => one.fenced - one.declaredDead),
      [50, 99],
    ),
    distribution(
      'of it, fenced to VIP plugged',
      all((one) => one.vipPlugged - one.fenced),
      [50, 99],
    ),
    distribution(
      'of it, VIP plugged to configuration pushed',
      all((one) => one.pushed - one.vipPlugged),
      [50, 99],
    ),
  ];
}
