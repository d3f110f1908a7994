import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { BuildSlots, pendingDetails } from '@octavia/db';
import { AmphoraBuildError } from '@octavia/drivers';
import { createAmphora } from '@octavia/flows';
import { v7 as uuidv7 } from 'uuid';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { requester, TestWorld } from './world.ts';

let world: TestWorld;
beforeEach(async () => {
  world = await TestWorld.open();
});
afterEach(() => world.close());

const slots = new BuildSlots();
const counts = () => slots.counts(world.db.reader);
const builds = () =>
  world.compute.control.calls
    .filter(({ method, outcome }) => method === 'build' && outcome === 'done')
    .map(({ args }) => (args[0] as { amphoraId: string }).amphoraId);
/** Soon: it is not told in the moment in which the flow looks. */
const waits = (id: string, what: string) =>
  world.until(what, async () => (await pendingDetails(world.db.reader, [id])).get(id)?.waitingFor === what, 1_000);
const built = async (...ids: string[]) => {
  const amphorae = (await Promise.all(ids.map((id) => world.serving(id)))).flat();
  return amphorae.map(({ id }) => builds().indexOf(id));
};
const hangFirstBuild = (ms: number) => world.compute.control.delayNext('build', ms);

async function askForSpare(): Promise<string> {
  const id = uuidv7();
  const spare = { computeFlavor: '', imageTag: '', zone: '', topology: 'SINGLE' } as const;
  await world.db.transaction(async (tx) => {
    const who = { projectId: 'octavia', author: 'housekeeping', requestId: 'r' };
    await world.amphorae.insert(tx, { id, ...who, class: spare, computeDriver: 'noop' });
    await world.flows.start(tx, createAmphora(id, requester));
  });
  return id;
}

describe('builds', () => {
  it('are never more at once than there are slots, and all are done in the end', async () => {
    await world.work({}, { buildSlots: 2 });
    world.compute.control.delayNext('build', 30, 12);
    const ids = await Promise.all(Array.from({ length: 12 }, () => world.create()));
    let most = 0;
    await world.until('the end of all flows', async () => {
      most = Math.max(most, world.compute.control.underWay.filter((method) => method === 'build').length);
      const open = await world.db.reader.query(`SELECT 1 FROM flow WHERE state IN ('QUEUED', 'RUNNING')`);
      return open.length === 0;
    });
    expect(most).toBeLessThanOrEqual(2);
    for (const id of ids) expect((await world.lb(id)).provisioningStatus).toBe('ACTIVE');
    expect(await counts()).toEqual({ used: 0, waiting: 0 });
    const attempts = await world.db.reader.query(
      `SELECT DISTINCT attempts FROM flow_step WHERE name = 'build_amphorae'`,
    );
    expect(attempts).toEqual([{ attempts: 1 }]);
  });

  it('wait in a line that is shown, hold no worker, and go failovers first, then tenants, then spares', async () => {
    // One that is to fail over; it was made while nothing waited.
    await world.work({}, { buildSlots: 1, limits: { concurrency: 3, failoverSlots: 1 } });
    const old = await world.create();
    await world.settled(old);
    const [victim] = await world.serving(old);
    hangFirstBuild(2_500);
    const holder = await world.create();
    await world.until('a build', async () => (await counts()).used === 1);
    const spare = await askForSpare();
    const tenants = [await world.create()];
    await world.until('a line of two', async () => (await counts()).waiting === 2);
    tenants.push(await world.create());
    await world.until('a line of three', async () => (await counts()).waiting === 3);
    await waits(tenants[1] ?? '', 'a build slot: place 2 in the line, 1 of 1 in use');
    // More wait than the worker has room for, and yet a change gets through at once.
    const listener = await world.addListener(old, 80);
    await world.until('the push', async () => (await world.listener(listener)).provisioning_status === 'ACTIVE', 1_500);
    if (victim) await world.fallSilent(victim);
    await world.until('a line of four', async () => (await counts()).waiting === 4);
    expect((await counts()).used).toBe(1);
    await world.idle();
    const order = await built(holder, old, ...tenants);
    expect([...order, builds().indexOf(spare)]).toEqual([1, 2, 3, 4, 5]);
  });

  it('leave the line for a deletion, and a failed build gives its slot back at once', async () => {
    await world.work({}, { buildSlots: 1 });
    hangFirstBuild(1_500);
    world.compute.control.failNext('build', new AmphoraBuildError('no room'));
    const holder = await world.create();
    await world.until('a build', async () => (await counts()).used === 1);
    const line: string[] = [];
    while (line.length < 3) {
      line.push(await world.create());
      await world.until('a longer line', async () => (await counts()).waiting === line.length);
    }
    const [unlucky = '', deleted = '', last = ''] = line;
    await world.delete(deleted);
    await world.until('its end', async () => (await world.lb(deleted)).provisioningStatus === 'DELETED', 1_200);
    await world.idle();
    expect((await world.lb(holder)).provisioningStatus).toBe('ACTIVE');
    expect((await world.lb(unlucky)).fault).toMatchObject({ reason: 'AMPHORA_BUILD_FAILED' });
    expect((await world.lb(last)).provisioningStatus).toBe('ACTIVE');
    expect(await counts()).toEqual({ used: 0, waiting: 0 });
  });

  it('go on after the worker that held the only slot was killed', async () => {
    const first = await world.create();
    const holder = spawn(process.execPath, ['--conditions=@octavia/source', 'test/build-holder.ts'], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { PATH: process.env.PATH, TEST_DATABASE_URL: world.test.url, TEST_LEASE_MS: '1000' },
    }) as ChildProcess;
    try {
      if (holder.stdout) await once(holder.stdout, 'data');
      await world.work({}, { buildSlots: 1 });
      const second = await world.create();
      await world.until('a line', async () => (await counts()).waiting === 1);
      await waits(second, 'a build slot: place 1 in the line, 1 of 1 in use');
      holder.kill('SIGKILL');
      await world.idle();
      for (const id of [first, second]) expect((await world.lb(id)).provisioningStatus).toBe('ACTIVE');
      expect(await counts()).toEqual({ used: 0, waiting: 0 });
    } finally {
      holder.kill('SIGKILL');
    }
  });
});
