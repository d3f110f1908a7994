import { v7 as uuidv7 } from 'uuid';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  Database,
  ListenerStatistics,
  type ListenerTraffic,
  Liveness,
  OperatingStatuses,
  type OwnedRange,
  PAGE_SIZE,
  ShardOwners,
  ShardsLost,
} from '../src/index.ts';
import { type TestDatabase, testDatabase } from '../src/testing/index.ts';
import { insertAmphora, insertListener, insertLoadBalancer } from '../src/testing/rows.ts';

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

const owners = new ShardOwners();
const expireLeases = () => db.reader.query(`UPDATE shard_owner SET lease_expires_at = now() - interval '1 s'`);
const only = ([range]: readonly OwnedRange[]): OwnedRange => {
  if (!range) throw new Error('No shards were claimed.');
  return range;
};

describe('the ownership of shards', () => {
  beforeEach(() => db.reader.query(`UPDATE shard_owner SET owner = NULL, lease_expires_at = NULL, epoch = 0`));

  it('goes to one of those who ask at once', async () => {
    const claims = await Promise.all(['a:1', 'b:1', 'c:1'].map((owner) => owners.claim(db.reader, owner, 60_000)));
    expect(claims.flat()).toEqual([{ first: 0, last: 4095, epoch: 1n }]);
  });

  it('goes over when the lease runs out, with a higher epoch, and not before', async () => {
    const first = await owners.claim(db.reader, 'a:1', 60_000);
    expect(await owners.claim(db.reader, 'b:1', 60_000)).toEqual([]);
    await expireLeases();
    expect(await owners.claim(db.reader, 'b:1', 60_000)).toEqual([{ first: 0, last: 4095, epoch: 2n }]);
    expect(await owners.renew(db.reader, first, 60_000)).toEqual([]);
    expect((await owners.map(db.reader)).map((range) => range.owner)).toEqual(['b:1']);
  });

  it('comes back at once to a process that starts again at the same address', async () => {
    await owners.claim(db.reader, 'a:1', 60_000);
    expect(await owners.claim(db.reader, 'a:1', 60_000)).toEqual([]);
    expect(await owners.claim(db.reader, 'a:1', 60_000, { restarted: true })).toMatchObject([{ epoch: 2n }]);
  });

  it('is given back by whoever leaves, and by nobody else', async () => {
    const mine = await owners.claim(db.reader, 'a:1', 60_000);
    await owners.release(
      db.reader,
      mine.map((range) => ({ ...range, epoch: 77n })),
    );
    expect(await owners.map(db.reader)).toHaveLength(1);
    await owners.release(db.reader, mine);
    expect(await owners.map(db.reader)).toEqual([]);
  });

  it('stops the writes of whoever lost it', async () => {
    const range = only(await owners.claim(db.reader, 'a:1', 60_000));
    await db.transaction((tx) => owners.hold(tx, range));
    await expireLeases();
    await owners.claim(db.reader, 'b:1', 60_000);
    await expect(db.transaction((tx) => owners.hold(tx, range))).rejects.toThrow(ShardsLost);
  });

  it('does not go over in the middle of a write', async () => {
    const range = only(await owners.claim(db.reader, 'a:1', 60_000));
    await expireLeases();
    const order: string[] = [];
    const held = Promise.withResolvers<void>();
    const writing = db.transaction(async (tx) => {
      await owners.hold(tx, range);
      held.resolve();
      const waiting = `SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%UPDATE shard_owner%'`;
      for (const end = Date.now() + 5_000; (await db.reader.query(waiting)).length === 0 && Date.now() < end; );
      order.push('written');
    });
    await held.promise;
    await owners.claim(db.reader, 'b:1', 60_000);
    order.push('taken over');
    await writing;
    expect(order).toEqual(['written', 'taken over']);
  });
});

describe('stored liveness', () => {
  const liveness = new Liveness();
  let range: OwnedRange;
  beforeAll(async () => {
    await expireLeases();
    range = only(await owners.claim(db.reader, 'liveness:1', 600_000));
  });
  const page = (number: number, ages: Record<number, number>, generations: Record<number, number>) => ({
    page: number,
    agesMs: new Int32Array(PAGE_SIZE).fill(-1).map((age, slot) => ages[slot] ?? age),
    generations: new Int32Array(PAGE_SIZE).map((_, slot) => generations[slot] ?? 0),
  });
  const storedOf = async (id: string) =>
    (await liveness.stored(db.reader, '00000000-0000-0000-0000-000000000000', 1000)).find((row) => row.id === id);

  it('tells how long ago an amphora was heard, also after the time in which nobody wrote', async () => {
    const id = await insertAmphora(db.reader);
    await liveness.assign(db.reader, [{ amphoraId: id, shard: 1, page: 0, slot: 3, generation: 1 }]);
    await liveness.write(db.reader, range, [page(0, { 3: 1_500 }, { 3: 1 })]);
    await db.reader.query(`UPDATE liveness_page SET written_at = written_at - interval '10 s' WHERE page = 0`);
    const row = await storedOf(id);
    expect(row).toMatchObject({ status: 'ALLOCATED', place: { page: 0, slot: 3, generation: 1 } });
    expect(row?.ageMs).toBeGreaterThanOrEqual(11_500);
    expect(row?.ageMs).toBeLessThan(60_000);
  });

  it('does not revive the next amphora of a slot with what was heard of the one before', async () => {
    const id = await insertAmphora(db.reader);
    await liveness.assign(db.reader, [{ amphoraId: id, shard: 1, page: 0, slot: 4, generation: 2 }]);
    await liveness.write(db.reader, range, [page(0, { 4: 10 }, { 4: 1 })]);
    expect((await storedOf(id))?.ageMs).toBeNull();
  });

  it('knows the newest generation of a slot, whether it was given or written', async () => {
    const id = await insertAmphora(db.reader);
    await liveness.assign(db.reader, [{ amphoraId: id, shard: 1, page: 1, slot: 0, generation: 5 }]);
    await liveness.write(db.reader, range, [page(1, {}, { 0: 4, 1: 7 })]);
    const slots = (await liveness.slots(db.reader, range)).filter((slot) => slot.page === 1);
    expect(slots.slice(0, 3)).toEqual([
      { page: 1, slot: 0, generation: 5, isTaken: true },
      { page: 1, slot: 1, generation: 7, isTaken: false },
      { page: 1, slot: 2, generation: 0, isTaken: false },
    ]);
  });

  it('names only amphorae that are ready or allocated', async () => {
    const ids = [];
    for (const status of ['BOOTING', 'READY', 'ALLOCATED', 'PENDING_DELETE', 'DELETED', 'ERROR']) {
      ids.push(await insertAmphora(db.reader, { status }));
    }
    const known = await liveness.knownByIds(db.reader, ids);
    expect(known.map((row) => row.status).sort()).toEqual(['ALLOCATED', 'READY']);
  });
});

describe('operating statuses', () => {
  const statuses = new OperatingStatuses();

  it('are written when they differ, and only then', async () => {
    const lb = await insertLoadBalancer(db.reader);
    const online = { objectId: lb, objectKind: 'load_balancer', status: 'ONLINE' } as const;
    expect(await statuses.write(db.reader, lb, [online])).toEqual([online]);
    expect(await statuses.write(db.reader, lb, [online])).toEqual([]);
    expect(await statuses.write(db.reader, lb, [{ ...online, status: 'ERROR' }])).toHaveLength(1);
    expect(await statuses.of(db.reader, lb)).toEqual(new Map([[lb, 'ERROR']]));
  });

  it('forget what is not there any more', async () => {
    const lb = await insertLoadBalancer(db.reader);
    const gone = uuidv7();
    await statuses.write(db.reader, lb, [
      { objectId: lb, objectKind: 'load_balancer', status: 'ONLINE' },
      { objectId: gone, objectKind: 'listener', status: 'ONLINE' },
    ]);
    await statuses.keepOnly(db.reader, lb, [lb]);
    expect([...(await statuses.of(db.reader, lb)).keys()]).toEqual([lb]);
  });
});

describe('statistics of listeners', () => {
  const statistics = new ListenerStatistics();
  const senderId = uuidv7();
  let lb: string;
  let listenerId: string;
  let amphoraId: string;
  let number = 0n;
  beforeEach(async () => {
    lb = await insertLoadBalancer(db.reader);
    listenerId = await insertListener(db.reader, lb);
    amphoraId = await insertAmphora(db.reader, { loadBalancerId: lb });
  });
  const traffic = (values: Partial<ListenerTraffic> = {}): ListenerTraffic => ({
    amphoraId,
    listenerId,
    isAbsolute: false,
    bytesIn: 10n,
    bytesOut: 20n,
    totalConnections: 2n,
    requestErrors: 1n,
    activeConnections: 5n,
    ...values,
  });
  const add = (all: readonly ListenerTraffic[], batch = ++number) =>
    db.transaction((tx) => statistics.add(tx, { senderId, owner: 'a:1', number: batch }, all));
  const stored = async () => {
    const [row] = await db.reader.query(
      `SELECT bytes_in, bytes_out, total_connections, request_errors, active_connections FROM listener_statistics
        WHERE listener_id = $1 AND amphora_id = $2`,
      [listenerId, amphoraId],
    );
    return row && Object.values(row);
  };

  it('add differences and keep the newest number of open connections', async () => {
    await add([traffic()]);
    await add([traffic({ activeConnections: 0n })]);
    expect(await stored()).toEqual(['20', '40', '4', '2', '0']);
  });

  it('count a batch once, however often it is sent', async () => {
    await add([traffic()]);
    expect(await add([traffic()], number)).toBe(false);
    expect(await Promise.all([add([traffic()], number + 1n), add([traffic()], number + 1n)])).toContain(false);
    number += 1n;
    expect(await stored()).toEqual(['20', '40', '4', '2', '5']);
  });

  it('take over totals of old amphorae', async () => {
    await add([traffic()]);
    await add([traffic({ isAbsolute: true, bytesIn: 7n })]);
    expect(await stored()).toEqual(['7', '20', '2', '1', '5']);
  });

  it('sum up two entries of one listener in a batch', async () => {
    await add([traffic(), traffic({ activeConnections: 9n })]);
    expect(await stored()).toEqual(['20', '40', '4', '2', '9']);
  });

  it('leave out what does not belong together', async () => {
    const foreign = await insertListener(db.reader, await insertLoadBalancer(db.reader));
    await add([traffic({ listenerId: foreign }), traffic({ listenerId: uuidv7() }), traffic({ amphoraId: uuidv7() })]);
    expect(await db.reader.query('SELECT 1 FROM listener_statistics WHERE listener_id = $1', [foreign])).toEqual([]);
    expect(await stored()).toBeUndefined();
  });

  it('stop at the largest number instead of failing for ever', async () => {
    const huge = 18_446_744_073_709_551_615n;
    await add([traffic({ bytesIn: huge })]);
    await add([traffic({ bytesIn: huge }), traffic({ bytesIn: huge })]);
    expect((await stored())?.[0]).toBe('9223372036854775807');
  });
});
