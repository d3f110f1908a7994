import type { NewFlow } from '@octavia/domain';
import { v7 as uuidv7 } from 'uuid';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BuildSlots, type ClaimedFlow, type Database, FlowQueue, Flows } from '../src/index.ts';
import type { TestDatabase } from '../src/testing/index.ts';
import { openTestDatabase } from './objects.ts';

let db: Database;
let test: TestDatabase;
beforeEach(async () => {
  ({ db, test } = await openTestDatabase());
});
afterEach(async () => {
  await db.stop();
  await test.drop();
});

const queue = new FlowQueue();
const flows = new Flows();
const slots = new BuildSlots();
const known = [
  { name: 'load_balancer.create', version: 1 },
  { name: 'amphora.failover', version: 1 },
];

/** A flow that a worker runs. */
async function running(kind: 'create' | 'failover' = 'create', leaseMs = 60_000): Promise<ClaimedFlow> {
  const id = uuidv7();
  const flow: NewFlow = {
    name: kind === 'create' ? 'load_balancer.create' : 'amphora.failover',
    version: 1,
    priority: kind === 'create' ? 20 : 0,
    turnKey: id,
    loadBalancerId: id,
    amphoraId: kind === 'create' ? null : uuidv7(),
    projectId: 'p',
    author: 'u',
    requestId: 'r',
    input: {},
    deadlineMs: 60_000,
    stopsOthers: false,
  };
  await db.transaction((tx) => flows.start(tx, flow));
  const claimed = await queue.claim(db.reader, { worker: 'w', leaseMs, known, onlyUrgent: false });
  if (!claimed) throw new Error('There is nothing to claim.');
  return claimed;
}

const take = ({ flow }: ClaimedFlow, limit: number, wanted = 1) =>
  db.transaction((tx) => slots.take(tx, { flowId: flow.id, priority: flow.priority, slots: wanted }, limit));
const release = ({ flow }: ClaimedFlow, limit: number) => db.transaction((tx) => slots.release(tx, flow.id, limit));
/** As the engine, when there is no slot. */
const wait = (claimed: ClaimedFlow, limit: number, delayMs = 60_000) =>
  db.transaction((tx) =>
    queue.comeAgain(tx, claimed.lease, async () => {
      const { flow } = claimed;
      await slots.take(tx, { flowId: flow.id, priority: flow.priority, slots: 1 }, limit);
      return { delayMs, waitingFor: 'a build slot' };
    }),
  );
const dueIn = async ({ flow }: ClaimedFlow) => {
  const { runAt, deadlineAt } = await flows.get(db.reader, flow.id);
  return { runMs: runAt.getTime() - Date.now(), deadlineMs: deadlineAt.getTime() - Date.now() };
};
const lose = ({ flow }: ClaimedFlow) =>
  db.reader.query(`UPDATE flow SET lease_expires_at = clock_timestamp() - interval '1 ms' WHERE id = $1`, [flow.id]);
/** Sessions of this database. */
const waitingForLocks = async () =>
  (
    await db.reader.query(
      `SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
    )
  ).length;

describe('build slots', () => {
  it('are as many as the limit, and then there is a line: failovers first, then in the order of asking', async () => {
    const [one, two, three, four] = [await running(), await running(), await running(), await running()];
    expect(await take(one, 1)).toEqual({ place: 0, used: 0 });
    expect(await take(one, 1)).toEqual({ place: 0, used: 0 });
    expect(await take(two, 1)).toEqual({ place: 1, used: 1 });
    expect(await take(three, 1)).toEqual({ place: 2, used: 1 });
    const failover = await running('failover');
    expect(await take(failover, 1)).toEqual({ place: 1, used: 1 });
    expect(await take(four, 1)).toEqual({ place: 4, used: 1 });
    expect(await take(two, 1)).toEqual({ place: 2, used: 1 });
    expect(await slots.counts(db.reader)).toEqual({ used: 1, waiting: 4 });
    await release(one, 1);
    expect(await take(two, 1)).toMatchObject({ place: 2 });
    expect(await take(failover, 1)).toMatchObject({ place: 0 });
  });

  it('call the first in the line when one comes free, whose deadline has not come nearer by the wait', async () => {
    const [holder, first, second] = [await running(), await running(), await running()];
    await take(holder, 1);
    for (const waiting of [first, second]) {
      await take(waiting, 1);
      await wait(waiting, 1);
    }
    const before = await dueIn(first);
    expect(before.runMs).toBeGreaterThan(50_000);
    expect(before.deadlineMs).toBeGreaterThan(110_000);
    await release(holder, 1);
    const after = await dueIn(first);
    expect(after.runMs).toBeLessThanOrEqual(0);
    expect(after.deadlineMs).toBeGreaterThan(50_000);
    expect(after.deadlineMs).toBeLessThanOrEqual(61_000);
    expect((await dueIn(second)).runMs).toBeGreaterThan(50_000);
  });

  it('come back with the lease of a worker that died, and are those of its successor again', async () => {
    const [dead, waiting] = [await running(), await running()];
    await take(dead, 1);
    expect(await take(waiting, 1)).toMatchObject({ place: 1 });
    await lose(dead);
    expect(await slots.counts(db.reader)).toEqual({ used: 0, waiting: 1 });
    const successor = await queue.claim(db.reader, { worker: 'w2', leaseMs: 60_000, known, onlyUrgent: false });
    expect(successor?.flow.id).toBe(dead.flow.id);
    expect(await take(waiting, 1)).toMatchObject({ place: 1, used: 1 });
    await lose(dead);
    expect(await take(waiting, 1)).toMatchObject({ place: 0 });
  });

  it('are kept by a flow that waits for its next try, and left when it ends', async () => {
    const [holder, waiting] = [await running(), await running()];
    await take(holder, 1);
    const error = { reason: 'COMPUTE_UNAVAILABLE', message: 'away' };
    await db.transaction((tx) => queue.retryLater(tx, holder.lease, { delayMs: 5_000, error }));
    expect(await take(waiting, 1)).toMatchObject({ place: 1, used: 1 });
    await db.reader.query(`UPDATE flow SET state = 'FAILED', finished_at = now() WHERE id = $1`, [holder.flow.id]);
    expect(await take(waiting, 1)).toMatchObject({ place: 0 });
  });

  it('do not wait for one in the line that no worker takes, or that is asked to stop', async () => {
    const [holder, stuck, stopped, next] = [await running(), await running(), await running(), await running()];
    await take(holder, 1);
    for (const waiting of [stuck, stopped, next]) {
      await take(waiting, 1);
      await wait(waiting, 1);
    }
    await flows.requestStop(db.reader, stopped.flow.id);
    await release(holder, 1);
    expect((await dueIn(stuck)).runMs).toBeLessThanOrEqual(0);
    await db.reader.query(`UPDATE flow SET run_at = clock_timestamp() - interval '3 s' WHERE id = $1`, [stuck.flow.id]);
    expect(await take(next, 1)).toMatchObject({ place: 0 });
  });

  it('are taken by a pair together or not at all, and none of the line overtakes it', async () => {
    const [holder, pair, single] = [await running(), await running(), await running()];
    await take(holder, 2);
    expect(await take(pair, 2, 2)).toMatchObject({ place: 1 });
    expect(await take(single, 2)).toMatchObject({ place: 2 });
    await release(holder, 2);
    expect(await take(pair, 2, 2)).toMatchObject({ place: 0 });
    expect(await slots.counts(db.reader)).toEqual({ used: 2, waiting: 1 });
    await release(pair, 2);
    expect(await take(pair, 1, 2)).toMatchObject({ place: 2 });
    await release(single, 1);
    expect(await take(pair, 1, 2)).toMatchObject({ place: 0 });
  });

  it('are asked for one at a time: the next one sees what the one before took', async () => {
    const [first, second] = [await running(), await running()];
    const { asked } = await db.transaction(async (tx) => {
      await slots.take(tx, { flowId: first.flow.id, priority: first.flow.priority, slots: 1 }, 1);
      const asked = take(second, 1);
      await expect.poll(() => waitingForLocks(), { timeout: 5_000, interval: 5 }).toBe(1);
      return { asked };
    });
    expect(await asked).toMatchObject({ place: 1, used: 1 });
  });

  it('are never more than the limit, whatever happens at once', async () => {
    const limit = 3;
    const all: ClaimedFlow[] = [];
    while (all.length < 24) all.push(await running());
    let held = 0;
    let most = 0;
    await Promise.all(
      all.map(async (claimed) => {
        while ((await take(claimed, limit)).place > 0);
        held++;
        most = Math.max(most, held);
        const { used } = await slots.counts(db.reader);
        most = Math.max(most, used);
        held--;
        await release(claimed, limit);
      }),
    );
    expect(most).toBeLessThanOrEqual(limit);
    expect(await slots.counts(db.reader)).toEqual({ used: 0, waiting: 0 });
  });
});
