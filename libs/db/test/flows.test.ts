import type { NewFlow } from '@octavia/domain';
import { v7 as uuidv7 } from 'uuid';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Amphorae, Database, Flows, Seats } from '../src/index.ts';
import { type TestDatabase, testDatabase } from '../src/testing/index.ts';

const flows = new Flows();
const amphorae = new Amphorae();
const seats = new Seats();
const small = { computeFlavor: 'small', imageTag: 'amphora', zone: '', topology: 'SINGLE' } as const;

describe('asking for flows', () => {
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

  function flow(name: string, key: string, more: Partial<NewFlow> = {}): NewFlow {
    return {
      name,
      version: 1,
      priority: 20,
      turnKey: key,
      loadBalancerId: key,
      amphoraId: null,
      projectId: 'project',
      author: 'user',
      requestId: 'request',
      input: {},
      deadlineMs: 60_000,
      stopsOthers: false,
      ...more,
    };
  }
  const start = (wanted: NewFlow) => db.transaction((tx) => flows.start(tx, wanted));
  const ensurePush = (key: string) => db.transaction((tx) => flows.ensurePush(tx, flow('load_balancer.update', key)));

  it('starts a flow together with what else the transaction does, or not at all', async () => {
    const key = uuidv7();
    const broken = db.transaction(async (tx) => {
      await flows.start(tx, flow('load_balancer.create', key));
      throw new Error('changed my mind');
    });
    await expect(broken).rejects.toThrow('changed my mind');
    expect(await flows.open(db.reader, key)).toEqual([]);
  });

  it('folds changes into one push', async () => {
    const key = uuidv7();
    const pushes = await Promise.all(Array.from({ length: 8 }, () => ensurePush(key)));
    expect(new Set(pushes).size).toBe(1);
    expect((await flows.open(db.reader, key)).map(({ name }) => name)).toEqual(['load_balancer.update']);
  });

  it('asks for no push where a create or a failover will settle the change', async () => {
    for (const name of ['load_balancer.create', 'load_balancer.failover', 'amphora.failover']) {
      const key = uuidv7();
      const settling = await start(flow(name, key));
      expect(await ensurePush(key)).toBe(settling);
    }
  });

  it('counts the open ones, with the age of the oldest', async () => {
    for (const name of ['counted.one', 'counted.one', 'counted.two']) await start(flow(name, uuidv7()));
    const counted = (await flows.counts(db.reader)).filter(({ name }) => name.startsWith('counted.'));
    const age = expect.closeTo(0, -1);
    expect(counted.sort((a, b) => a.name.localeCompare(b.name))).toEqual([
      { name: 'counted.one', state: 'QUEUED', count: 2, oldestSeconds: age },
      { name: 'counted.two', state: 'QUEUED', count: 1, oldestSeconds: age },
    ]);
  });

  it('asks for a push beside a flow that settles nothing', async () => {
    const key = uuidv7();
    const deleting = await start(flow('amphora.delete', key));
    expect(await ensurePush(key)).not.toBe(deleting);
  });

  it('wakes a push that waits for its next try', async () => {
    const key = uuidv7();
    const waiting = await start(flow('load_balancer.update', key, { delayMs: 3_600_000 }));
    expect(await ensurePush(key)).toBe(waiting);
    const [row] = await db.reader.query('SELECT run_at <= clock_timestamp() AS due FROM flow WHERE id = $1', [waiting]);
    expect(row.due).toBe(true);
  });

  it('asks nobody to stop who only waits in the queue with nothing done', async () => {
    const key = uuidv7();
    const queued = await start(flow('load_balancer.update', key));
    await start(flow('load_balancer.failover', key, { stopsOthers: true }));
    expect((await flows.get(db.reader, queued)).stopRequested).toBeNull();
  });

  it('never gives one spare to two load balancers', async () => {
    const spares = Array.from({ length: 3 }, () => uuidv7());
    await db.transaction(async (tx) => {
      for (const id of spares) {
        await amphorae.insert(tx, {
          id,
          projectId: 'p',
          author: 'a',
          requestId: 'r',
          class: small,
          computeDriver: 'noop',
        });
        await amphorae.setStatus(tx, id, 'READY');
      }
    });
    expect(await amphorae.countSpares(db.reader, small, 'noop')).toEqual({ ready: 3, booting: 0 });
    const loadBalancers = await Promise.all(Array.from({ length: 5 }, () => insertLoadBalancer(db)));
    const claimed = await Promise.all(
      loadBalancers.map((loadBalancerId) =>
        db.transaction((tx) => seats.claimSpare(tx, small, 'noop', { ...OWNER, loadBalancerId }, AVOID)),
      ),
    );
    const got = claimed.filter((amphora) => amphora !== null);
    expect(new Set(got.map(({ id }) => id))).toEqual(new Set(spares));
    expect(got.map(({ status }) => status)).toEqual(['ALLOCATED', 'ALLOCATED', 'ALLOCATED']);
  });

  it('gives a spare of any topology, first one whose agent need not be told', async () => {
    const [single, pair] = [uuidv7(), uuidv7()];
    const wanted = { ...small, zone: 'south' };
    await db.transaction(async (tx) => {
      const common = { projectId: 'p', author: 'a', requestId: 'r', computeDriver: 'noop' };
      await amphorae.insert(tx, { ...common, id: single, class: wanted });
      await amphorae.insert(tx, { ...common, id: pair, class: { ...wanted, topology: 'ACTIVE_STANDBY' } });
      for (const id of [single, pair]) await amphorae.setStatus(tx, id, 'READY');
    });
    expect(await amphorae.countSpares(db.reader, wanted, 'noop')).toEqual({ ready: 2, booting: 0 });
    const owner = { ...OWNER, loadBalancerId: await insertLoadBalancer(db), role: 'MASTER' } as const;
    const claim = () =>
      db.transaction((tx) => seats.claimSpare(tx, { ...wanted, topology: 'ACTIVE_STANDBY' }, 'noop', owner, AVOID));
    expect((await claim())?.id).toBe(pair);
    expect(await claim()).toMatchObject({ id: single, class: { topology: 'SINGLE' } });
  });

  it('gives no spare of another class', async () => {
    const loadBalancerId = await insertLoadBalancer(db);
    const owner = { ...OWNER, loadBalancerId };
    const claim = db.transaction((tx) => seats.claimSpare(tx, { ...small, zone: 'east' }, 'noop', owner, AVOID));
    expect(await claim).toBeNull();
  });

  it('gives one of another host than the avoided ones where there is any, and keeps which reason that is', async () => {
    const west = { ...small, zone: 'west' };
    const spares = [uuidv7(), uuidv7(), uuidv7()];
    await db.transaction(async (tx) => {
      for (const [index, id] of spares.entries()) {
        const who = { projectId: 'p', author: 'a', requestId: 'r' };
        await amphorae.insert(tx, { id, ...who, class: west, computeDriver: 'noop' });
        await amphorae.update(tx, id, { computeHost: index < 2 ? 'h1' : 'h2' });
        await amphorae.setStatus(tx, id, 'READY');
      }
    });
    const claim = async () => {
      const owner = { ...OWNER, loadBalancerId: await insertLoadBalancer(db) };
      const avoid = { ...AVOID, hosts: ['h1'] };
      const claimed = await db.transaction((tx) => seats.claimSpare(tx, west, 'noop', owner, avoid));
      return [claimed?.computeHost, claimed?.choice?.reason];
    };
    expect(await claim()).toEqual(['h2', 'apart']);
    expect(await claim()).toEqual(['h1', 'together']);
  });
});

const OWNER = { projectId: 'p', role: 'STANDALONE', seatLimit: 1, apolocationGroup: null } as const;
const AVOID = { hosts: [], apart: 'apart', together: 'together' };

async function insertLoadBalancer(db: Database): Promise<string> {
  const id = uuidv7();
  await db.reader.query(
    `INSERT INTO load_balancer (id, project_id, author, request_id, name, admin_state_up, provisioning_status, revision,
       topology, vip_subnet_id, desired_revision)
     VALUES ($1, 'p', 'a', 'r', 'lb', true, 'ACTIVE', 1, 'SINGLE', $1, 1)`,
    [id],
  );
  return id;
}
