import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { Database, Flows } from '@octavia/db';
import { type TestDatabase, testDatabase } from '@octavia/db/testing';
import type { NewFlow } from '@octavia/domain';
import { logger } from '@octavia/service';
import { v7 as uuidv7 } from 'uuid';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { GiveUp } from '../src/engine/flow.ts';
import { FlowRunner } from '../src/engine/flow-runner.ts';
import { type Behaviour, Outside, type TestParts, testFlows } from './test-flows.ts';

/** Short, so that a takeover is soon; long enough for a renewal on a busy machine. */
const LEASE_MS = 1_000;
const flows = new Flows();
let test: TestDatabase;
let db: Database;
let leaseDb: Database;
const runners: FlowRunner<TestParts>[] = [];
const processes: ChildProcess[] = [];

beforeAll(async () => {
  test = await testDatabase();
  db = new Database({ url: test.url, applicationName: 'test' });
  leaseDb = new Database({ url: test.url, applicationName: 'test leases', poolSize: 1 });
  await Promise.all([db.start(), leaseDb.start()]);
  await Outside.prepare(db);
});
afterEach(async () => {
  for (const child of processes.splice(0)) {
    child.kill('SIGKILL');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  }
  await Promise.all(runners.splice(0).map((runner) => runner.stop()));
});
afterAll(async () => {
  await Promise.all([db.stop(), leaseDb.stop()]);
  await test.drop();
});
beforeEach(() => db.reader.query('TRUNCATE flow, flow_step, turn, gate, effect CASCADE'));

function wanted(
  name: string,
  key: string,
  script: Record<string, Behaviour> = {},
  more: Partial<NewFlow> = {},
): NewFlow {
  return {
    name,
    version: 1,
    priority: name === 'test.failover' ? 0 : 20,
    turnKey: key,
    loadBalancerId: null,
    amphoraId: null,
    projectId: 'project',
    author: 'user',
    requestId: 'request',
    input: { script },
    deadlineMs: 60_000,
    stopsOthers: name === 'test.failover',
    ...more,
  };
}
const start = (flow: NewFlow) => db.transaction((tx) => flows.start(tx, flow));

async function runner(
  more: { drainMs?: number; concurrency?: number; without?: number; giveUp?: GiveUp; slowMs?: number } = {},
): Promise<FlowRunner<TestParts>> {
  const made = new FlowRunner<TestParts>({
    db,
    leaseDb,
    definitions: testFlows.filter(({ version }) => version !== more.without),
    parts: { world: new Outside(db) },
    limits: {
      leaseMs: LEASE_MS,
      concurrency: more.concurrency ?? 4,
      failoverSlots: 1,
      drainMs: more.drainMs ?? 2_000,
      slowMs: more.slowMs ?? 300,
    },
    log: logger('test'),
    ...(more.giveUp ? { giveUp: more.giveUp } : {}),
  });
  await made.start();
  runners.push(made);
  return made;
}

function remembering(): { giveUp: GiveUp; abandoned: string[] } {
  const abandoned: string[] = [];
  const giveUp: GiveUp = async (_, flow, fault) => void abandoned.push(`${flow.id} ${fault.reason}`);
  return { giveUp, abandoned };
}

async function workerProcess(env: Record<string, string> = {}): Promise<ChildProcess> {
  const child = spawn(process.execPath, ['--conditions=@octavia/source', 'test/engine-process.ts'], {
    env: {
      ...process.env,
      TEST_DATABASE_URL: test.url,
      TEST_LEASE_MS: String(LEASE_MS),
      LOG_LEVEL: 'silent',
      NODE_OPTIONS: '',
      ...env,
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  processes.push(child);
  if (child.stdout) await once(child.stdout, 'data');
  return child;
}

async function until(what: string, condition: () => Promise<boolean>, limitMs = 15_000): Promise<void> {
  const end = performance.now() + limitMs;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`It took too long: ${what}. Effects: ${(await effects()).join(', ')}`);
    await sleep(5);
  }
}
async function effects(id?: string): Promise<string[]> {
  const rows: { what: string }[] = await db.reader.query(
    'SELECT what FROM effect WHERE $1::uuid IS NULL OR flow_id = $1 ORDER BY id',
    [id ?? null],
  );
  return rows.map(({ what }) => what);
}
const happened = (id: string, what: string) =>
  until(`${what} of ${id}`, async () => (await effects(id)).includes(what));
const ended = async (id: string) => {
  await until(`the end of ${id}`, async () => (await flows.get(db.reader, id)).finishedAt !== null);
  return flows.get(db.reader, id);
};
const open = (gate: string) => db.reader.query('INSERT INTO gate VALUES ($1)', [gate]);

describe('the engine of flows', () => {
  it('does the steps in order, saves what they return, and settles once', async () => {
    await runner();
    const id = await start(wanted('test.build', uuidv7()));
    expect(await ended(id)).toMatchObject({ state: 'SUCCEEDED', lastError: null });
    expect(await effects(id)).toEqual(['do one', 'do two', 'do three', 'settled SUCCEEDED']);
    expect((await flows.steps(db.reader, id)).map(({ state, output }) => [state, output])).toEqual([
      ['DONE', { one: 'done' }],
      ['DONE', { two: 'done' }],
      ['DONE', { three: 'done' }],
    ]);
  });

  it('undoes newest first when a step fails, that step too, and goes on when an undo fails', async () => {
    await runner();
    const id = await start(wanted('test.build', uuidv7(), { three: 'fail', 'undo three': 'fail' }));
    expect(await ended(id)).toMatchObject({ state: 'FAILED', lastError: { reason: 'BROKEN' } });
    expect(await effects(id)).toEqual([
      ...['do one', 'do two', 'do three', 'undo three', 'undo three', 'undo three', 'undo two', 'settled FAILED'],
    ]);
    const steps = await flows.steps(db.reader, id);
    expect(steps.map(({ name, state, lastError }) => [name, state, lastError?.reason])).toEqual([
      ['one', 'DONE', undefined],
      ['two', 'UNDONE', undefined],
      ['three', 'UNDONE', 'BROKEN'],
    ]);
  });

  it('does not give an undo up while the database is away', async () => {
    await runner();
    const id = await start(wanted('test.build', uuidv7(), { three: 'fail', 'undo three': 'database' }));
    // More often than an undo is tried that fails.
    await until('many tries', async () => (await effects(id)).filter((what) => what === 'undo three').length > 5);
    await open('undo three');
    expect(await ended(id)).toMatchObject({ state: 'FAILED', epoch: 1 });
    const [, , three] = await flows.steps(db.reader, id);
    expect(three).toMatchObject({ state: 'UNDONE', lastError: null });
  });

  it('goes on in another worker after kill -9, at the step that was not saved', async () => {
    const child = await workerProcess();
    const id = await start(wanted('test.build', uuidv7(), { two: 'wait' }));
    await happened(id, 'do two');
    child.kill('SIGKILL');
    await open('two');
    await runner();
    expect(await ended(id)).toMatchObject({ state: 'SUCCEEDED', epoch: 2 });
    expect(await effects(id)).toEqual(['do one', 'do two', 'do two', 'do three', 'settled SUCCEEDED']);
  });

  it('finishes the undo of a worker that was killed in it', async () => {
    const child = await workerProcess();
    const id = await start(wanted('test.build', uuidv7(), { three: 'fail', 'undo two': 'wait' }));
    await happened(id, 'undo two');
    child.kill('SIGKILL');
    await open('undo two');
    await runner();
    expect(await ended(id)).toMatchObject({ state: 'FAILED', lastError: { reason: 'BROKEN' } });
    expect((await effects(id)).slice(-2)).toEqual(['undo two', 'settled FAILED']);
  });

  it('lets a stopped worker that wakes up change nothing', async () => {
    const child = await workerProcess();
    const id = await start(wanted('test.build', uuidv7(), { two: 'transaction' }));
    await happened(id, 'do two');
    child.kill('SIGSTOP');
    await open('two');
    await runner();
    expect(await ended(id)).toMatchObject({ state: 'SUCCEEDED', epoch: 2 });
    const before = await effects();
    const flow = await flows.get(db.reader, id);
    child.kill('SIGCONT');
    // It is awake again when it has run something else.
    await Promise.all(runners.splice(0).map((one) => one.stop()));
    const other = await start(wanted('test.push', uuidv7()));
    await ended(other);
    expect(await effects(id)).toEqual(before);
    expect(await flows.get(db.reader, id)).toEqual(flow);
  });

  it('runs a half-done flow to its end before anything else of its turn, also after a crash', async () => {
    const child = await workerProcess();
    const key = uuidv7();
    const first = await start(wanted('test.build', key, { two: 'wait' }));
    await happened(first, 'do two');
    const second = await start(wanted('test.push', key, {}, { priority: 1 }));
    child.kill('SIGKILL');
    await open('two');
    await runner();
    await ended(second);
    const ends = (await effects()).filter((what) => what !== 'do two');
    expect(ends).toEqual(['do one', 'do three', 'settled SUCCEEDED', 'do one', 'settled SUCCEEDED']);
    expect(await ended(first)).toMatchObject({ state: 'SUCCEEDED' });
  });

  it('frees the turn while a flow with nothing to undo waits for its next try', async () => {
    await runner();
    const key = uuidv7();
    const push = await start(wanted('test.push', key, { one: 'unavailable' }));
    await happened(push, 'do one');
    const other = await start(wanted('test.build', key));
    expect(await ended(other)).toMatchObject({ state: 'SUCCEEDED' });
    expect((await flows.get(db.reader, push)).state).not.toBe('SUCCEEDED');
    await open('one');
    expect(await ended(push)).toMatchObject({ state: 'SUCCEEDED' });
  });

  it('keeps the turn while a half-done flow waits, and tells why it waits', async () => {
    await runner();
    const key = uuidv7();
    const build = await start(wanted('test.build', key, { two: 'unavailable' }));
    await until('third try', async () => (await effects(build)).filter((what) => what === 'do two').length >= 3);
    const other = await start(wanted('test.push', key));
    await until('a wait', async () => (await flows.get(db.reader, build)).state === 'QUEUED');
    expect(await flows.get(db.reader, build)).toMatchObject({ step: 'two', lastError: { reason: 'AWAY' } });
    expect(await effects(other)).toEqual([]);
    await open('two');
    await ended(other);
    expect((await effects()).slice(-4)).toEqual(['do three', 'settled SUCCEEDED', 'do one', 'settled SUCCEEDED']);
    const steps = await flows.steps(db.reader, build);
    expect(steps[1]?.attempts).toBeGreaterThanOrEqual(3);
  });

  it('stops and undoes the running flow for a failover, at once', async () => {
    await runner();
    const key = uuidv7();
    const build = await start(wanted('test.build', key, { three: 'wait' }));
    await happened(build, 'do three');
    const startedAt = performance.now();
    const failover = await start(wanted('test.failover', key));
    await ended(failover);
    expect(performance.now() - startedAt).toBeLessThan(2_500);
    // The first epoch: the running step was told, nobody waited for its lease to run out.
    expect(await ended(build)).toMatchObject({ state: 'CANCELLED', stopRequested: 'FAILOVER', epoch: 1 });
    expect((await effects()).slice(3)).toEqual([
      ...['undo three', 'undo two', 'settled CANCELLED', 'do one', 'settled SUCCEEDED'],
    ]);
  });

  it('stops a half-done flow that waits for its next try', async () => {
    await runner();
    const key = uuidv7();
    const build = await start(wanted('test.build', key, { two: 'unavailable' }));
    await until('a wait', async () => (await flows.get(db.reader, build)).attempt > 3);
    await ended(await start(wanted('test.failover', key)));
    expect(await ended(build)).toMatchObject({ state: 'CANCELLED' });
  });

  it('does not stop a flow that cannot be stopped', async () => {
    await runner();
    const key = uuidv7();
    const deletion = await start(wanted('test.delete', key, { two: 'wait' }));
    await happened(deletion, 'do two');
    const failover = await start(wanted('test.failover', key));
    await open('two');
    await ended(failover);
    expect(await ended(deletion)).toMatchObject({ state: 'SUCCEEDED' });
  });

  it('undoes under a higher epoch when a step does not listen to its signal', async () => {
    await runner();
    const id = await start(wanted('test.build', uuidv7(), { two: 'ignore' }));
    await happened(id, 'do two');
    await db.transaction((tx) => flows.requestStop(tx, id));
    expect(await ended(id)).toMatchObject({ state: 'CANCELLED', epoch: 2 });
    const rows = await db.reader.query(`SELECT what, epoch FROM effect WHERE what LIKE '% two' ORDER BY id`);
    expect(rows).toEqual([
      { what: 'do two', epoch: 1 },
      { what: 'undo two', epoch: 2 },
    ]);
    await open('two');
  });

  it('gives up at its deadline with the last error, and undoes', async () => {
    await runner();
    const id = await start(wanted('test.build', uuidv7(), { two: 'unavailable' }, { deadlineMs: 600 }));
    const flow = await ended(id);
    expect(flow).toMatchObject({ state: 'FAILED', lastError: { reason: 'DEADLINE_EXCEEDED' } });
    expect(flow.lastError?.message).toMatch(/at two. Last error: AWAY: what two needs is away/);
    expect((await effects(id)).slice(-2)).toEqual(['undo two', 'settled FAILED']);
  });

  it('says what it waits for, and gives up with that reason, where a step says that it waits for somebody', async () => {
    await runner();
    const id = await start(wanted('test.await', uuidv7(), { two: 'unavailable' }, { deadlineMs: 600 }));
    const waits = async () => (await flows.get(db.reader, id)).waitingFor === 'somebody to bring it back';
    await until('a wait', waits);
    const flow = await ended(id);
    expect(flow).toMatchObject({ state: 'FAILED', lastError: { reason: 'AWAY' } });
    expect((await effects(id)).slice(-2)).toEqual(['undo two', 'settled FAILED']);
  });

  it('ends a flow whose settlement always throws, once, and leaves what it works on in ERROR', async () => {
    const { giveUp, abandoned } = remembering();
    await runner({ giveUp });
    const key = uuidv7();
    const id = await start(wanted('test.build', key, { settle: 'fail' }));
    expect(await ended(id)).toMatchObject({ state: 'FAILED', epoch: 1, lastError: { reason: 'SETTLE_FAILED' } });
    expect(abandoned).toEqual([`${id} SETTLE_FAILED`]);
    // Nothing of the tries is left, and the turn is free.
    expect(await effects(id)).toEqual(['do one', 'do two', 'do three']);
    expect(await ended(await start(wanted('test.push', key)))).toMatchObject({ state: 'SUCCEEDED' });
  });

  it('goes on with other flows while as many as it has slots wait for something outside', async () => {
    await runner({ concurrency: 3 });
    const hanging = await Promise.all(
      Array.from({ length: 3 }, () => start(wanted('test.build', uuidv7(), { one: 'wait' }))),
    );
    const at = performance.now();
    const other = await start(wanted('test.push', uuidv7()));
    expect(await ended(other)).toMatchObject({ state: 'SUCCEEDED' });
    expect(performance.now() - at).toBeLessThan(10_000);
    await open('one');
    for (const id of hanging) await ended(id);
  });

  it('cuts a step off at the deadline', async () => {
    await runner();
    const id = await start(wanted('test.build', uuidv7(), { two: 'wait' }, { deadlineMs: 300 }));
    expect(await ended(id)).toMatchObject({ state: 'FAILED', lastError: { reason: 'DEADLINE_EXCEEDED' } });
  });

  it('keeps its lease while a step takes longer than that, also when the pool of connections is busy', async () => {
    await runner();
    const id = await start(wanted('test.build', uuidv7(), { two: 'ignore' }));
    await happened(id, 'do two');
    const busy = Array.from({ length: 9 }, () => db.reader.query(`SELECT pg_sleep($1)`, [(LEASE_MS / 1000) * 2.5]));
    await Promise.all(busy);
    expect((await flows.get(db.reader, id)).epoch).toBe(1);
    await open('two');
    expect(await ended(id)).toMatchObject({ state: 'SUCCEEDED', epoch: 1 });
  });

  it('leaves versions that it does not know to other workers, and runs two side by side', async () => {
    await runner({ without: 2 });
    const next = await start(wanted('test.build', uuidv7(), {}, { version: 2 }));
    const old = await start(wanted('test.build', uuidv7()));
    await ended(old);
    expect((await flows.get(db.reader, next)).state).toBe('QUEUED');
    await runner();
    await ended(next);
    expect(await effects(next)).toEqual(['do zero', 'do two', 'settled SUCCEEDED']);
  });

  it('lets a worker of the next version finish what one of the version before had half done, in its own steps', async () => {
    const old = await workerProcess({ TEST_WITHOUT_VERSION: '2' });
    const forward = await start(wanted('test.build', uuidv7(), { two: 'wait' }));
    const backward = await start(wanted('test.build', uuidv7(), { three: 'fail', 'undo two': 'wait' }));
    await happened(forward, 'do two');
    await happened(backward, 'undo two');
    // Asked for by a gateway of the next version: waits for a worker that knows it.
    const next = await start(wanted('test.build', uuidv7(), {}, { version: 2 }));
    old.kill('SIGKILL');
    await open('two');
    await open('undo two');
    await runner();
    expect(await ended(forward)).toMatchObject({ state: 'SUCCEEDED', version: 1, epoch: 2 });
    expect((await effects(forward)).slice(-3)).toEqual(['do two', 'do three', 'settled SUCCEEDED']);
    expect(await ended(backward)).toMatchObject({ state: 'FAILED', version: 1 });
    expect(await ended(next)).toMatchObject({ state: 'SUCCEEDED', version: 2 });
    expect(await effects(next)).toEqual(['do zero', 'do two', 'settled SUCCEEDED']);
  });

  it('keeps a slot for failovers when all others are busy', async () => {
    await runner({ concurrency: 2, slowMs: 60_000 });
    const busy = [await start(wanted('test.build', uuidv7(), { one: 'wait' }))];
    busy.push(await start(wanted('test.build', uuidv7(), { one: 'wait' })));
    await happened(busy[0] ?? '', 'do one');
    await ended(await start(wanted('test.failover', uuidv7())));
    expect(await effects(busy[1])).toEqual([]);
    await open('one');
    for (const id of busy) await ended(id);
  });

  it('goes on when all connections are cut, and does no step twice for it', async () => {
    await runner();
    const id = await start(wanted('test.build', uuidv7(), { two: 'wait' }));
    await happened(id, 'do two');
    await test.cutConnections();
    // Each connection of the pool that was cut fails one query.
    await until('the gate', () =>
      open('two').then(
        () => true,
        () => false,
      ),
    );
    await until('the end', async () =>
      flows.get(db.reader, id).then(
        ({ finishedAt }) => finishedAt !== null,
        () => false,
      ),
    );
    expect(await flows.get(db.reader, id)).toMatchObject({ state: 'SUCCEEDED' });
    expect((await effects(id)).filter((what) => what === 'do two')).toHaveLength(1);
  });

  it('finds a flow whose notification was lost', async () => {
    await runner();
    const id = await start(wanted('test.push', uuidv7(), {}, { delayMs: 3_600_000 }));
    await db.reader.query('UPDATE flow SET run_at = clock_timestamp() WHERE id = $1', [id]);
    expect(await ended(id)).toMatchObject({ state: 'SUCCEEDED' });
  });

  it('runs a delayed flow when its time has come', async () => {
    await runner();
    const id = await start(wanted('test.push', uuidv7(), {}, { delayMs: 300 }));
    const flow = await ended(id);
    expect(flow.startedAt?.getTime()).toBeGreaterThanOrEqual(flow.runAt.getTime());
  });

  it('hands its flows over at once when the worker stops', async () => {
    const stopping = await runner({ drainMs: 50 });
    const id = await start(wanted('test.build', uuidv7(), { two: 'wait' }));
    await happened(id, 'do two');
    await runner();
    await stopping.stop();
    runners.splice(runners.indexOf(stopping), 1);
    const before = performance.now();
    await until('takeover', async () => (await flows.get(db.reader, id)).epoch === 2);
    expect(performance.now() - before).toBeLessThan(LEASE_MS * 0.8);
    await open('two');
    expect(await ended(id)).toMatchObject({ state: 'SUCCEEDED' });
  });

  it('ends a queued flow that an operator cancels', async () => {
    const key = uuidv7();
    const id = await start(wanted('test.build', key, {}, { delayMs: 3_600_000 }));
    await runner();
    await db.transaction((tx) => flows.requestStop(tx, id));
    expect(await ended(id)).toMatchObject({ state: 'CANCELLED' });
    expect(await effects(id)).toEqual(['settled CANCELLED']);
  });
});
