import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { numbers } from '@octavia/service/testing';
import type pg from 'pg';
import { Heartbeats } from '../../src/heartbeats.ts';
import { Installation, NOOP } from '../../src/installation.ts';
import { Chaos } from './chaos.ts';
import { StormClient } from './client.ts';
import { Fates } from './fates.ts';
import { makeOffers } from './offers.ts';
import { lateFlows, orphans, unheard } from './world.ts';

const CLONE = resolve(import.meta.dirname, '../../../..');
const CHECK = join(CLONE, 'apps/worker/test/matrix/check-world.ts');
/** Every flow gives up after it, in milliseconds. */
const DEADLINE_MS = 20_000;
/** What a deadline, two takeovers and the restart of a service with its longest delay take at most. */
const SETTLE_LIMIT_MS = 3 * DEADLINE_MS;
const LOOK_MS = 250;
/** Silence counts as death soon, so that the controller finds the dead between two blows to itself. In milliseconds. */
const INTERVAL_MS = 400;
const TIMEOUT_MS = 2_000;
/** Builds at once: two pairs. */
const BUILD_SLOTS = 4;

export interface StormOptions {
  readonly seed: number;
  readonly seconds: number;
  readonly clients: number;
}

export interface StormResult {
  /** What was not as it must be; empty: passed. */
  readonly faults: readonly string[];
  readonly calls: Readonly<Record<string, number>>;
  readonly blows: Readonly<Record<string, number>>;
  readonly flows: Readonly<Record<string, number>>;
  /** Load balancers at the end, by status. */
  readonly statuses: Readonly<Record<string, number>>;
  /** From the last blow until everything was settled and true. */
  readonly settledMs: number;
}

/** Many clients do random things while processes die at random; then everything is compared. */
export async function storm({ seed, seconds, clients: count }: StormOptions): Promise<StormResult> {
  const folder = mkdtempSync(join(tmpdir(), 'storm-'));
  const settings = {
    ...NOOP,
    NOOP_FOLDER: folder,
    FLOW_LEASE: '1s',
    FLOW_DEADLINE: `${DEADLINE_MS}ms`,
    SPARE_AMPHORA_POOL_SIZE: '2',
    VIP_REST_TIME: '1s',
    HEARTBEAT_INTERVAL: `${INTERVAL_MS}ms`,
    HEARTBEAT_TIMEOUT: `${TIMEOUT_MS}ms`,
    BUILD_SLOTS: String(BUILD_SLOTS),
  };
  const installation = await Installation.start(settings);
  try {
    return await run(installation, folder, seed, seconds, count);
  } finally {
    await installation.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function run(
  installation: Installation,
  folder: string,
  seed: number,
  seconds: number,
  count: number,
): Promise<StormResult> {
  const wishes = await makeOffers(installation.api);
  const clients = Array.from(
    { length: count },
    (_, index) => new StormClient(`storm-${index}`, numbers(seed + index + 1), wishes, installation.api),
  );
  const chaos = new Chaos(installation, numbers(seed));
  const fates = new Fates(folder, TIMEOUT_MS, numbers(seed + count + 1));
  const heartbeats = new Heartbeats(installation, INTERVAL_MS, () => fates.beating());
  try {
    const running = [chaos.run(), fates.run(), ...clients.map((client) => client.run())];
    await sleep(seconds * 1_000);
    for (const one of [chaos, fates]) one.stop();
    await Promise.all(running.slice(0, 2));
    for (const client of clients) client.stop();
    await Promise.all(running);
    return await result({ installation, folder, clients, chaos, fates });
  } finally {
    await heartbeats.stop();
    for (const client of clients) client.close();
  }
}

interface Past {
  readonly installation: Installation;
  readonly folder: string;
  readonly clients: readonly StormClient[];
  readonly chaos: Chaos;
  readonly fates: Fates;
}

async function result({ installation, folder, clients, chaos, fates }: Past): Promise<StormResult> {
  const calmAt = performance.now();
  const database = await connected(installation);
  try {
    const faults = clients.flatMap(({ bugs }) => bugs);
    faults.push(...(await settled(database, installation, folder, fates.dead)));
    const settledMs = performance.now() - calmAt;
    faults.push(...(await broken(database, clients)), ...(await lateFlows(database)));
    return {
      faults,
      calls: sum(clients.map(({ tally }) => tally)),
      blows: sum([chaos.tally, fates.tally]),
      flows: await counts(
        database,
        `SELECT name || ' ' || state AS what, count(*)::integer AS count FROM flow GROUP BY 1`,
      ),
      statuses: await counts(
        database,
        `SELECT topology || ' ' || provisioning_status AS what, count(*)::integer AS count FROM load_balancer GROUP BY 1`,
      ),
      settledMs,
    };
  } finally {
    await database.end();
  }
}

/** The database may be starting just now. */
async function connected(installation: Installation): Promise<pg.Client> {
  const giveUpAt = performance.now() + SETTLE_LIMIT_MS;
  for (;;) {
    try {
      return await installation.database();
    } catch (error) {
      if (performance.now() > giveUpAt) throw error;
      await sleep(LOOK_MS);
    }
  }
}

/** Waits until rows and world agree. Returns what still does not when all deadlines have passed. */
async function settled(
  database: pg.Client,
  installation: Installation,
  folder: string,
  dead: ReadonlySet<string>,
): Promise<string[]> {
  const url = readFileSync(join(installation.home, 'secrets/database-url'), 'utf8').trim();
  const giveUpAt = performance.now() + SETTLE_LIMIT_MS;
  for (;;) {
    const open = await database.query(`SELECT 1 FROM flow WHERE state IN ('QUEUED', 'RUNNING')`);
    const isOver = performance.now() > giveUpAt;
    if (open.rowCount === 0 || isOver) {
      const found = await unheard(database, dead);
      if (found.length === 0 || isOver) found.push(...(await look(url, folder)), ...(await orphans(installation.api)));
      if (found.length === 0 || isOver) return found;
    }
    await sleep(LOOK_MS);
  }
}

async function look(url: string, folder: string): Promise<string[]> {
  const { stdout } = await promisify(execFile)(process.execPath, ['--conditions=@octavia/source', CHECK, url, folder]);
  return JSON.parse(stdout);
}

/** What was answered, and is not so. */
async function broken(database: pg.Client, clients: readonly StormClient[]): Promise<string[]> {
  const ids = async (sql: string): Promise<Set<string>> =>
    new Set((await database.query(sql)).rows.map(({ id }) => id));
  const living = await ids('SELECT id FROM load_balancer WHERE deleted_at IS NULL');
  const children = await ids('SELECT id FROM listener UNION ALL SELECT id FROM pool UNION ALL SELECT id FROM member');
  return clients.flatMap(({ projectId, promised }) => [
    ...promised.loadBalancers.flatMap((id) => (living.has(id) ? [] : [`Load balancer ${id} of ${projectId} is lost.`])),
    ...promised.deletedLoadBalancers.flatMap((id) =>
      living.has(id) ? [`${id} of ${projectId} was deleted, and is there.`] : [],
    ),
    ...promised.children.flatMap((id) => (children.has(id) ? [] : [`Object ${id} of ${projectId} is lost.`])),
  ]);
}

async function counts(database: pg.Client, sql: string): Promise<Record<string, number>> {
  const { rows } = await database.query(`${sql} ORDER BY 1`);
  return Object.fromEntries(rows.map(({ what, count }) => [what, count]));
}

function sum(tallies: readonly ReadonlyMap<string, number>[]): Record<string, number> {
  const all: Record<string, number> = {};
  for (const tally of tallies) for (const [what, count] of tally) all[what] = (all[what] ?? 0) + count;
  return Object.fromEntries(Object.entries(all).sort(([a], [b]) => a.localeCompare(b)));
}
