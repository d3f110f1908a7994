import { v7 as uuidv7 } from 'uuid';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Database, Duties, Flows, Leftovers, Purges, Seats, Spares } from '../src/index.ts';
import { type TestDatabase, testDatabase } from '../src/testing/index.ts';
import { insertAmphora, insertLoadBalancer, insertSeat } from '../src/testing/rows.ts';

let test: TestDatabase;
let db: Database;
beforeAll(async () => {
  test = await testDatabase();
  db = new Database({ url: test.url, applicationName: 'test' });
  await db.start();
});
afterAll(async () => {
  await db.stop();
  await test.drop();
});

const newFlow = (name: string, { loadBalancerId = null as string | null, amphoraId = null as string | null }) => ({
  name,
  version: 1,
  priority: 10,
  turnKey: loadBalancerId ?? amphoraId ?? uuidv7(),
  loadBalancerId,
  amphoraId,
  projectId: 'p1',
  author: 'u1',
  requestId: uuidv7(),
  input: {},
  deadlineMs: 60_000,
  stopsOthers: false,
});
const endFlow = (id: string, state: string, agoMs = 0) =>
  db.reader.query(`UPDATE flow SET state = $2, finished_at = clock_timestamp() - $3 * interval '1 ms' WHERE id = $1`, [
    id,
    state,
    agoMs,
  ]);

describe('a duty', () => {
  const duties = new Duties();
  const take = (name: string, owner: string, everyMs = 60_000) =>
    duties.take(db.reader, { name, owner }, 60_000, everyMs);

  it('is done by one of those who come, and again when it is due', async () => {
    const taken = await Promise.all(['a', 'b', 'c'].map((owner) => take('one', owner, 0)));
    expect(taken.filter(Boolean)).toHaveLength(1);
    const owner = ['a', 'b', 'c'][taken.indexOf(true)] ?? '';
    await duties.finish(db.reader, { name: 'one', owner }, null);
    expect(await take('one', 'd')).toBe(true);
    await duties.finish(db.reader, { name: 'one', owner: 'd' }, null);
    expect(await take('one', 'e')).toBe(false);
  });

  it('is taken over when whoever had it is gone, and the late one may not go on', async () => {
    await take('two', 'dead');
    expect(await take('two', 'next')).toBe(false);
    await db.reader.query(`UPDATE duty SET lease_expires_at = now() - interval '1 s' WHERE name = 'two'`);
    expect(await take('two', 'next')).toBe(true);
    expect(await db.transaction((tx) => duties.hold(tx, { name: 'two', owner: 'dead' }))).toBe(false);
    await duties.finish(db.reader, { name: 'two', owner: 'dead' }, 'too late');
    expect(await db.transaction((tx) => duties.hold(tx, { name: 'two', owner: 'next' }))).toBe(true);
  });

  it('comes again at once when it was hurried while it was done', async () => {
    await take('three', 'a');
    await duties.hurry(db.reader, ['three']);
    expect(await take('three', 'b')).toBe(false);
    await duties.finish(db.reader, { name: 'three', owner: 'a' }, null);
    expect(await take('three', 'b')).toBe(true);
  });
});

describe('what is left over', () => {
  const leftovers = new Leftovers();
  const flows = new Flows();
  const found = async () => (await leftovers.amphorae(db.reader)).map((one) => one.id);

  it('is an amphora to be deleted that no flow deletes', async () => {
    const orphan = await insertAmphora(db.reader, { status: 'PENDING_DELETE' });
    const failedBuild = await insertAmphora(db.reader, { status: 'ERROR' });
    const lostBuild = await insertAmphora(db.reader, { status: 'BOOTING' });
    const freshBuild = await insertAmphora(db.reader, { status: 'BOOTING', ageMs: 0 });
    const lb = await insertLoadBalancer(db.reader);
    const beingReplaced = await insertAmphora(db.reader, { status: 'PENDING_DELETE', loadBalancerId: lb });
    await db.transaction((tx) => flows.start(tx, newFlow('load_balancer.failover', { loadBalancerId: lb })));
    const broken = await insertAmphora(db.reader, { status: 'ERROR', loadBalancerId: lb });
    const undeleted = await insertAmphora(db.reader, {
      status: 'ERROR',
      loadBalancerId: await insertLoadBalancer(db.reader),
    });
    await endFlow(
      await db.transaction((tx) => flows.start(tx, newFlow('amphora.delete', { amphoraId: undeleted }))),
      'FAILED',
      60_000,
    );
    const ids = await found();
    expect(ids).toContain(undeleted);
    expect(ids).toEqual(expect.arrayContaining([orphan, failedBuild, lostBuild]));
    for (const id of [freshBuild, beingReplaced, broken]) expect(ids).not.toContain(id);
  });

  it('is a seat that is to be left while no flow sees to it', async () => {
    const [leaving, staying] = [await insertLoadBalancer(db.reader), await insertLoadBalancer(db.reader)];
    const amphoraId = await insertAmphora(db.reader, { loadBalancerId: leaving });
    await insertSeat(db.reader, amphoraId, staying);
    const seats = async () => (await leftovers.seats(db.reader)).filter((one) => one.amphoraId === amphoraId);
    expect(await seats()).toEqual([]);
    await db.transaction((tx) => new Seats().leave(tx, { amphoraId, loadBalancerId: leaving }));
    expect(await seats()).toEqual([{ amphoraId, loadBalancerId: leaving, projectId: 'p1' }]);
    expect(await leftovers.isLeaving(db.reader, { amphoraId, loadBalancerId: leaving })).toBe(true);
    await db.transaction((tx) => flows.start(tx, newFlow('amphora.vacate', { amphoraId })));
    expect(await seats()).toEqual([]);
    expect(await leftovers.isLeaving(db.reader, { amphoraId, loadBalancerId: leaving })).toBe(false);
  });

  it('is taken by one of two who found it', async () => {
    const id = await insertAmphora(db.reader, { status: 'ERROR' });
    const take = () =>
      db.transaction(async (tx) => {
        const isTaken = await leftovers.take(tx, id);
        if (isTaken) await flows.start(tx, newFlow('amphora.delete', { amphoraId: id }));
        return isTaken;
      });
    expect((await Promise.all([take(), take()])).sort()).toEqual([false, true]);
  });

  it('comes back later when its deletion failed, and never is given up', async () => {
    const id = await insertAmphora(db.reader, { status: 'PENDING_DELETE' });
    const flow = await db.transaction((tx) => flows.start(tx, newFlow('amphora.delete', { amphoraId: id })));
    await endFlow(flow, 'FAILED');
    expect(await found()).not.toContain(id);
    await endFlow(flow, 'FAILED', 6_000);
    expect(await found()).toContain(id);
    for (let count = 0; count < 30; count++) {
      await endFlow(
        await db.transaction((tx) => flows.start(tx, newFlow('amphora.delete', { amphoraId: id }))),
        'FAILED',
        590_000,
      );
    }
    await endFlow(flow, 'FAILED', 590_000);
    expect(await found()).not.toContain(id);
    await db.reader.query(`UPDATE flow SET finished_at = finished_at - interval '20 s' WHERE amphora_id = $1`, [id]);
    expect(await found()).toContain(id);
  });

  it('is a load balancer that is pending while nobody works on it', async () => {
    const stranded = await insertLoadBalancer(db.reader, { status: 'PENDING_UPDATE' });
    const worked = await insertLoadBalancer(db.reader, { status: 'PENDING_UPDATE' });
    await db.transaction((tx) => flows.start(tx, newFlow('load_balancer.update', { loadBalancerId: worked })));
    expect(await leftovers.loadBalancers(db.reader)).toEqual([stranded]);
    const looks = await db.transaction(async (tx) => [
      await leftovers.lockStranded(tx, stranded),
      await leftovers.lockStranded(tx, worked),
    ]);
    expect(looks).toEqual([{ id: stranded, projectId: 'p1', provisioningStatus: 'PENDING_UPDATE' }, null]);
  });
});

describe('the spare pool', () => {
  const spares = new Spares();

  it('counts failed builds since the last good one', async () => {
    const flows = new Flows();
    for (const [state, ago] of [
      ['FAILED', 9_000],
      ['SUCCEEDED', 8_000],
      ['FAILED', 7_000],
      ['FAILED', 5_000],
    ] as const) {
      const id = await db.transaction((tx) => flows.start(tx, newFlow('amphora.create', { amphoraId: uuidv7() })));
      await endFlow(id, state, ago);
    }
    const { failures, endedMs } = await spares.history(db.reader);
    expect(failures).toBe(2);
    expect(endedMs).toBeGreaterThanOrEqual(5_000);
  });

  it('does not discard a spare that is just being taken', async () => {
    const id = await insertAmphora(db.reader, { status: 'READY' });
    await db.transaction(async (tx) => {
      await tx.query(`UPDATE amphora SET status = 'ALLOCATED' WHERE id = $1`, [id]);
      expect(await db.transaction((other) => spares.discard(other, [id]))).toEqual([]);
    });
  });
});

describe('the purge', () => {
  const purges = new Purges();
  const day = 86_400_000;
  const keep = {
    amphoraMs: day,
    loadBalancerMs: day,
    flowMs: day,
    eventMs: day,
    idempotencyMs: day,
    statisticsMs: day,
  };
  const purge = (table: string, limit = 100) => db.transaction((tx) => purges.purge(tx, table, keep, limit));
  const insertEvents = (count: number, ageMs: number) =>
    db.reader.query(
      `INSERT INTO event (project_id, author, request_id, kind, object_kind, object_id, payload, created_at)
       SELECT 'p1', 'u1', 'r1', 'test', 'amphora', gen_random_uuid(), '{}', now() - $2 * interval '1 ms' FROM generate_series(1, $1)`,
      [count, ageMs],
    );

  it('removes what is too old, a small batch at a time, and leaves the rest', async () => {
    await insertEvents(12, day + 1_000);
    await insertEvents(3, day - 60_000);
    expect([
      await purge('event', 5),
      await purge('event', 5),
      await purge('event', 5),
      await purge('event', 5),
    ]).toEqual([5, 5, 2, 0]);
    expect(await db.reader.query('SELECT count(*)::int AS count FROM event')).toEqual([{ count: 3 }]);
  });

  it('removes old revisions of a load balancer that lives on, but never its newest thousand', async () => {
    const lb = await insertLoadBalancer(db.reader);
    await db.reader.query('UPDATE load_balancer SET desired_revision = 1010 WHERE id = $1', [lb]);
    await db.reader.query(
      `INSERT INTO revision (load_balancer_id, number, author, request_id, object_kind, object_id, action, changes, created_at)
       SELECT $1, n, 'u1', 'r1', 'load_balancer', $1, 'UPDATE', '{}',
         now() - CASE WHEN n = 3 THEN interval '1 hour' ELSE interval '2 days' END FROM generate_series(2, 1010) AS n`,
      [lb],
    );
    // Number 3 is young, 11 and above are the newest thousand.
    expect(await purge('revision')).toBe(8);
    const left = await db.reader.query('SELECT min(number), count(*)::int FROM revision WHERE load_balancer_id = $1', [
      lb,
    ]);
    expect(left).toEqual([{ min: 3, count: 1001 }]);
  });

  it('takes a deleted load balancer with everything below it, and its turn when its flows are gone', async () => {
    const lb = await insertLoadBalancer(db.reader, { status: 'DELETED' });
    const flow = await db.transaction((tx) =>
      new Flows().start(tx, newFlow('load_balancer.delete', { loadBalancerId: lb })),
    );
    await endFlow(flow, 'SUCCEEDED', day + 1_000);
    expect(await purge('load_balancer')).toBe(0);
    await db.reader.query(`UPDATE load_balancer SET deleted_at = now() - interval '2 days' WHERE id = $1`, [lb]);
    expect(await purge('load_balancer')).toBe(1);
    const turn = () => db.reader.query('SELECT 1 FROM turn WHERE key = $1', [lb]);
    await purge('turn');
    expect(await turn()).toHaveLength(1);
    expect(await purge('flow')).toBe(1);
    await purge('turn');
    expect(await turn()).toHaveLength(0);
  });

  it('frees the liveness slot of an amphora that is gone, and removes its keys', async () => {
    const gone = await insertAmphora(db.reader, { status: 'DELETED' });
    const alive = await insertAmphora(db.reader, { status: 'READY' });
    await db.reader.query(`UPDATE amphora SET deleted_at = now() - interval '1 hour' WHERE id = $1`, [gone]);
    for (const [slot, id] of [gone, alive].entries()) {
      await db.reader.query('INSERT INTO liveness_slot (amphora_id, shard, page, slot) VALUES ($1, 1, 9, $2)', [
        id,
        slot,
      ]);
      await db.reader.query(
        `INSERT INTO secret (id, kind, owner_id, key_id, wrapped_key, payload, created_at)
         VALUES ($1, 'amphora_certificate', $2, 'k', '', '', now() - interval '1 hour')`,
        [uuidv7(), id],
      );
    }
    expect([await purge('liveness_slot'), await purge('secret')]).toEqual([1, 1]);
    expect(await db.reader.query('SELECT owner_id FROM secret')).toEqual([{ owner_id: alive }]);
  });

  it('knows every table that it names', async () => {
    for (const table of [...purges.aged, ...purges.leftovers]) expect(await purge(table)).toBeGreaterThanOrEqual(0);
  });
});
