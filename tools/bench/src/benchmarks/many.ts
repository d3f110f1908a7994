import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { Heartbeats } from '../heartbeats.ts';
import { Installation, NOOP } from '../installation.ts';
import { type Benchmark, distribution, type Figure } from '../measure.ts';
import { processorTime } from '../processor-time.ts';
import { several } from './noop.ts';

/** Amphorae that fall silent at once, and how long the last repair may take after they were declared dead, in milliseconds. */
const TRIALS = [
  { count: 50, withinMs: 2_000 },
  { count: 500, withinMs: 10_000 },
] as const;
const INTERVAL_MS = 1_000;
const TIMEOUT_MS = 6_000;
/** Of one trial: five times what the goal allows, and the time to notice. */
const LIMIT_MS = 90_000;

export const many: Benchmark = {
  name: 'many',
  what: 'many amphorae fall silent at once: drivers that do nothing',
  async run(signal) {
    const settings = {
      ...NOOP,
      SPARE_AMPHORA_POOL_SIZE: '0',
      HEARTBEAT_INTERVAL: `${INTERVAL_MS}ms`,
      HEARTBEAT_TIMEOUT: `${TIMEOUT_MS}ms`,
    };
    const installation = await Installation.start(settings, { signal });
    const database = await installation.database();
    const heartbeats = new Heartbeats(installation, INTERVAL_MS, async () =>
      withoutListeners(await allocated(database)),
    );
    try {
      const figures: Figure[] = [];
      let there = 0;
      for (const { count, withinMs } of TRIALS) {
        await several(count - there, installation);
        there = count;
        figures.push(...(await trial(count, withinMs, { installation, database, heartbeats, signal })));
      }
      return figures;
    } finally {
      await heartbeats.stop();
      await database.end();
      await installation.stop();
    }
  },
};

interface Parts {
  readonly installation: Installation;
  readonly database: pg.Client;
  readonly heartbeats: Heartbeats;
  readonly signal: AbortSignal;
}

async function trial(
  count: number,
  withinMs: number,
  { installation, database, heartbeats, signal }: Parts,
): Promise<Figure[]> {
  // What the trial before left is deleted by then, and every amphora has been heard.
  await until(signal, async () => (await open(database)) === 0 && heartbeats.heard.length === count);
  await sleep(2 * INTERVAL_MS);
  const doomed = await allocated(database);
  const before = processorTime(installation);
  heartbeats.silence(doomed);
  const repairs = (): Promise<Repair[]> => repairsOf(database, doomed);
  await until(signal, async () => (await repairs()).filter(({ endedAt }) => endedAt !== null).length === count);
  const all = await repairs();
  const first = Math.min(...all.map(({ declaredAt }) => declaredAt));
  const repaired = all.map(({ endedAt }) => endedAt ?? Number.NaN);
  await until(signal, async () => (await open(database)) === 0);
  const used = Object.entries(processorTime(installation)).map(([name, time]): [string, number] => [
    name,
    (time - (before[name] ?? 0)) / count,
  ]);
  const declared = all.map(({ declaredAt }) => declaredAt - first);
  const each = all.map(({ declaredAt }, index) => (repaired[index] ?? Number.NaN) - declaredAt);
  const since = repaired.map((at) => at - first);
  return [
    distribution(`${count} silent at once: first to be declared dead to each declared dead`, declared, [50]),
    distribution(`${count} silent at once: declared dead to repaired, each`, each, [50, 99]),
    distribution(`${count} silent at once: first declared dead to repaired`, since, [50, 99], {
      of: 'max',
      below: withinMs,
    }),
    {
      what: `${count} silent at once: processor time of each repair and deletion, by process`,
      unit: 'ms',
      values: Object.fromEntries(used),
      count,
    },
  ];
}

interface Repair {
  /** Milliseconds since 1970, by the clock of the database. */
  readonly declaredAt: number;
  /** Null: not yet. */
  readonly endedAt: number | null;
}

async function repairsOf(database: pg.Client, amphorae: readonly string[]): Promise<Repair[]> {
  const { rows } = await database.query(
    `SELECT extract(epoch FROM f.created_at)::float8 * 1000 AS "declaredAt",
            extract(epoch FROM f.finished_at)::float8 * 1000 AS "endedAt"
       FROM flow AS f WHERE f.name = 'amphora.failover' AND f.amphora_id = ANY ($1)
        AND (f.state = 'SUCCEEDED' OR f.finished_at IS NULL)`,
    [amphorae],
  );
  return rows;
}

async function allocated(database: pg.Client): Promise<string[]> {
  const { rows } = await database.query(`SELECT id FROM amphora WHERE status = 'ALLOCATED' ORDER BY id`);
  return rows.map(({ id }) => id);
}

const withoutListeners = (ids: readonly string[]) => new Map(ids.map((id) => [id, []]));

async function open(database: pg.Client): Promise<number> {
  const { rows } = await database.query(
    `SELECT count(*)::integer AS count FROM flow WHERE state IN ('QUEUED', 'RUNNING')`,
  );
  return rows[0].count;
}

async function until(signal: AbortSignal, isSo: () => Promise<boolean>): Promise<void> {
  const limit = AbortSignal.any([signal, AbortSignal.timeout(LIMIT_MS)]);
  while (!(await isSo())) await sleep(100, undefined, { signal: limit });
}
