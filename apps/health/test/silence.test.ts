import { insertAmphora, insertListener, insertLoadBalancer, insertSeat } from '@octavia/db/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Agent, TestHealth, TIMEOUT_MS, World } from './world.ts';

let world: World;
let loadBalancerId: string;
let agent: Agent;
beforeEach(async () => {
  world = await World.start();
  loadBalancerId = await insertLoadBalancer(world.db.reader);
  agent = new Agent(await insertAmphora(world.db.reader, { loadBalancerId }));
});
afterEach(() => world.stop());

const rowOf = async (id: string) =>
  (await world.query('SELECT status, fault_reason AS reason FROM amphora WHERE id = $1', [id]))[0];
/** A process that owns the shards and has heard the agents all the time. */
const owner = async (...agents: Agent[]) => {
  const health = await TestHealth.start(world);
  await health.keep();
  await health.pass(15_000, () => agents.map((one) => one.beat()));
  return health;
};

describe('an allocated amphora that falls silent', () => {
  it('is failed over once, with its reason and the measured ages in an event', async () => {
    const health = await owner(agent);
    expect(await health.pass(TIMEOUT_MS - 500)).toBe(0);
    expect(await health.pass(60_000)).toBe(1);
    expect(await world.flowsOf(agent.id)).toEqual(['amphora.failover']);
    expect(await rowOf(agent.id)).toEqual({ status: 'ALLOCATED', reason: 'HEARTBEAT_LOST' });
    const [event] = await world.query(`SELECT * FROM event WHERE kind = 'amphora_silent'`);
    expect(event).toMatchObject({ load_balancer_id: loadBalancerId, object_id: agent.id });
    expect(event.payload).toMatchObject({ cause: 'heartbeat_lost', last_heartbeat_age_ms: TIMEOUT_MS });
  });

  it('is left alone while it talks', async () => {
    const health = await owner(agent);
    expect(await health.pass(60_000, () => [agent.beat()])).toBe(0);
  });

  it('is not kept alive by recorded datagrams', async () => {
    const recorded = [agent.beat(), agent.beat()];
    const health = await owner(agent);
    expect(await health.pass(20_000, () => recorded)).toBe(1);
  });

  it('is failed over once when two searches meet', async () => {
    const health = await owner(agent);
    await health.pass(TIMEOUT_MS - 500);
    health.now += 600;
    const started = await Promise.all([1, 2, 3].map(() => health.health.judge.search()));
    expect(started.reduce((a, b) => a + b)).toBe(1);
    expect(await world.flowsOf(agent.id)).toHaveLength(1);
  });

  it('is failed over once when its owner was stopped and another process has taken over', async () => {
    const first = await owner(agent);
    const second = await TestHealth.start(world);
    await first.health.flusher.flush();
    first.isRenewing = false;
    await world.expireLeases();
    await second.keep();
    const started = await Promise.all([first.pass(10_000), second.pass(30_000)]);
    expect(started).toEqual([0, 1]);
    expect(await world.flowsOf(agent.id)).toEqual(['amphora.failover']);
  });

  it('is tried again when its failover failed, later each time, and never given up', async () => {
    const health = await owner(agent);
    const again: number[] = [];
    await health.pass(TIMEOUT_MS + 500);
    for (let round = 0; round < 6; round++) {
      await world.endFlows('FAILED', 'NO_VALID_IMAGE');
      expect(await health.pass(40_000)).toBe(0);
      await world.ageFlows(600_000);
      again.push(await health.pass(40_000));
    }
    expect(again).toEqual([1, 1, 1, 1, 1, 1]);
  });

  it('waits for its turn when its twin is just being failed over, and no longer', async () => {
    const twin = new Agent(await insertAmphora(world.db.reader, { loadBalancerId }));
    const health = await owner(agent, twin);
    expect(await health.pass(60_000)).toBe(1);
    await world.query(`UPDATE amphora SET status = 'DELETED' WHERE id = (SELECT amphora_id FROM flow)`);
    await world.endFlows('SUCCEEDED');
    expect(await health.pass(1_500)).toBe(1);
    expect([...(await world.flowsOf(agent.id)), ...(await world.flowsOf(twin.id))]).toHaveLength(2);
  });

  it('waits for its isolation when nothing confirms it, says so, and goes on at once when a person does', async () => {
    const health = await owner(agent);
    const { judge } = health.health;
    expect(await health.pass(TIMEOUT_MS + 500)).toBe(1);
    await world.endFlows('FAILED', 'FENCE_NOT_CONFIRMED');
    expect(await health.pass(40_000)).toBe(0);
    expect(await rowOf(agent.id)).toEqual({ status: 'ALLOCATED', reason: 'FENCE_NOT_CONFIRMED' });
    expect(judge.unconfirmed()).toBe(1);
    // The next try by itself comes late, because each builds an amphora for nothing.
    await world.ageFlows(30_000);
    expect(await health.pass(40_000)).toBe(0);
    await world.query(`INSERT INTO fence_confirmation (amphora_id, author, request_id) VALUES ($1, 'root', 'r')`, [
      agent.id,
    ]);
    expect(await health.pass(40_000)).toBe(1);
    expect(await rowOf(agent.id)).toEqual({ status: 'ALLOCATED', reason: 'HEARTBEAT_LOST' });
  });

  it('waits for nothing any more when it is heard again', async () => {
    const health = await owner(agent);
    await health.pass(TIMEOUT_MS + 500);
    await world.endFlows('FAILED', 'FENCE_NOT_CONFIRMED');
    await health.pass(10_000);
    expect(health.health.judge.unconfirmed()).toBe(1);
    expect(await health.pass(10_000, () => [agent.beat()])).toBe(0);
    expect(health.health.judge.unconfirmed()).toBe(0);
  });

  it('is left to the flow that creates or deletes its load balancer', async () => {
    for (const status of ['PENDING_CREATE', 'PENDING_DELETE']) {
      await world.query('UPDATE load_balancer SET provisioning_status = $1', [status]);
      const health = await owner(agent);
      expect(await health.pass(60_000)).toBe(0);
      await world.expireLeases();
    }
  });
});

describe('an amphora that never was heard', () => {
  it('is failed over when its time is over, and not before', async () => {
    const health = await (await TestHealth.start(world)).own();
    const born = new Agent(await insertAmphora(world.db.reader, { loadBalancerId, ageMs: 0 }));
    await world.query(`UPDATE amphora SET status = 'DELETED', deleted_at = now() WHERE id = $1`, [agent.id]);
    health.health.roster.changed(born.id);
    health.health.roster.changed(agent.id);
    await health.health.roster.follow();
    await world.endFlows('SUCCEEDED');
    expect(await health.pass(TIMEOUT_MS + 1_000)).toBe(0);
    expect(await health.pass(2_000)).toBe(1);
    const [event] = await world.query(`SELECT payload FROM event WHERE object_id = $1`, [born.id]);
    expect(event.payload).toMatchObject({ cause: 'never_heard', last_heartbeat_age_ms: null });
  });
});

describe('an amphora that serves several load balancers', () => {
  let other: string;
  let mine: string;
  let others: string;
  beforeEach(async () => {
    other = await insertLoadBalancer(world.db.reader);
    await insertSeat(world.db.reader, agent.id, other);
    mine = await insertListener(world.db.reader, loadBalancerId);
    others = await insertListener(world.db.reader, other);
    agent.listeners = { [mine]: 'OPEN', [others]: 'OPEN' };
  });
  const movedLoadBalancers = async () =>
    (await world.query(`SELECT load_balancer_id AS id FROM flow WHERE name = 'amphora.failover'`)).map(({ id }: { id: string }) => id);

  it('is well while it serves all of them', async () => {
    const health = await owner(agent);
    expect(await health.pass(60_000, () => [agent.beat()])).toBe(0);
  });

  it('has all of them moved when it falls silent, each by a flow of its own', async () => {
    const health = await owner(agent);
    expect(await health.pass(60_000)).toBe(1);
    expect((await movedLoadBalancers()).sort()).toEqual([loadBalancerId, other].sort());
    expect(await rowOf(agent.id)).toEqual({ status: 'ALLOCATED', reason: 'HEARTBEAT_LOST' });
    const events = await world.query(`SELECT load_balancer_id AS id FROM event WHERE kind = 'amphora_silent'`);
    expect(events.map(({ id }: { id: string }) => id).sort()).toEqual([loadBalancerId, other].sort());
  });

  it('has the one moved that it does not serve, and is not at fault itself', async () => {
    const health = await owner(agent);
    agent.listeners = { [others]: 'OPEN' };
    expect(await health.pass(TIMEOUT_MS + 1_000, () => [agent.beat()])).toBe(1);
    expect(await health.pass(60_000, () => [agent.beat()])).toBe(0);
    expect(await movedLoadBalancers()).toEqual([loadBalancerId]);
    expect(await rowOf(agent.id)).toEqual({ status: 'ALLOCATED', reason: null });
    expect(await world.query('SELECT load_balancer_id AS id, fault_reason AS reason FROM seat ORDER BY id')).toEqual([
      { id: loadBalancerId, reason: 'LISTENER_MISMATCH' },
      { id: other, reason: null },
    ]);
  });

  it('has the others moved, too, when it falls silent after that', async () => {
    const health = await owner(agent);
    agent.listeners = { [others]: 'OPEN' };
    expect(await health.pass(TIMEOUT_MS + 1_000, () => [agent.beat()])).toBe(1);
    expect(await health.pass(TIMEOUT_MS + 3_000)).toBe(1);
    expect((await movedLoadBalancers()).sort()).toEqual([loadBalancerId, other].sort());
  });

  it('has both spoken of by one report', async () => {
    const health = await owner(agent);
    await health.pass(2_000, () => [agent.beat()]);
    const rows = await world.query(
      `SELECT object_id AS id, status FROM operating_status WHERE object_kind = 'listener'`,
    );
    expect(rows).toEqual(expect.arrayContaining([mine, others].map((id) => ({ id, status: 'ONLINE' }))));
  });
});

describe('a silent spare', () => {
  it('is deleted, unless somebody has just taken it', async () => {
    const spare = new Agent(await insertAmphora(world.db.reader, { status: 'READY' }));
    const taken = new Agent(await insertAmphora(world.db.reader, { status: 'READY' }));
    const health = await owner(agent, spare, taken);
    await world.query(`UPDATE amphora SET status = 'ALLOCATED' WHERE id = $1`, [taken.id]);
    await insertSeat(world.db.reader, taken.id, loadBalancerId);
    expect(await health.pass(6_000, () => [agent.beat()])).toBe(1);
    expect(await rowOf(spare.id)).toEqual({ status: 'PENDING_DELETE', reason: 'HEARTBEAT_LOST' });
    expect(await world.flowsOf(spare.id)).toEqual(['amphora.delete']);
    expect(await world.flowsOf(taken.id)).toEqual([]);
  });
});

describe('an amphora that talks but does not serve', () => {
  let listenerId: string;
  beforeEach(async () => {
    listenerId = await insertListener(world.db.reader, loadBalancerId);
    agent.listeners = { [listenerId]: 'OPEN' };
  });

  it('is failed over like a silent one', async () => {
    const health = await owner(agent);
    agent.listeners = {};
    expect(await health.pass(TIMEOUT_MS, () => [agent.beat()])).toBe(0);
    expect(await health.pass(1_000, () => [agent.beat()])).toBe(1);
    expect((await rowOf(agent.id)).reason).toBe('LISTENER_MISMATCH');
  });

  it('has time to get a new listener', async () => {
    const health = await owner(agent);
    const added = await insertListener(world.db.reader, loadBalancerId, 81);
    health.health.statusWriter.enqueue(loadBalancerId);
    expect(await health.pass(TIMEOUT_MS - 1_000, () => [agent.beat()])).toBe(0);
    agent.listeners = { [listenerId]: 'OPEN', [added]: 'OPEN' };
    expect(await health.pass(60_000, () => [agent.beat()])).toBe(0);
  });

  it('is left alone while a change is on its way or the load balancer is disabled', async () => {
    for (const change of [
      `provisioning_status = 'PENDING_UPDATE'`,
      `admin_state_up = false, provisioning_status = 'ACTIVE'`,
    ]) {
      const health = await owner(agent);
      await world.query(`UPDATE load_balancer SET ${change}`);
      agent.listeners = {};
      expect(await health.pass(60_000, () => [agent.beat()])).toBe(0);
      await world.expireLeases();
    }
  });

  it('is left alone while it is being built into a load balancer by a failover, and for a timeout after that', async () => {
    const replacement = new Agent(await insertAmphora(world.db.reader, { loadBalancerId }));
    replacement.listeners = { [listenerId]: 'OPEN' };
    const health = await owner(agent, replacement);
    const talk = () => [replacement.beat()];
    replacement.listeners = {};
    expect(await health.pass(TIMEOUT_MS + 500, talk)).toBe(1);
    expect(await health.pass(60_000, talk)).toBe(0);
    await world.query(`UPDATE amphora SET status = 'PENDING_DELETE' WHERE id = $1`, [agent.id]);
    await world.endFlows('SUCCEEDED');
    expect(await health.pass(1_000, talk)).toBe(0);
    replacement.listeners = { [listenerId]: 'OPEN' };
    expect(await health.pass(60_000, talk)).toBe(0);
    expect(await world.flowsOf(replacement.id)).toEqual([]);
  });

  it('does not lead to one failover after the other when failovers do not help', async () => {
    const health = await owner(agent);
    agent.listeners = {};
    await health.pass(TIMEOUT_MS + 1_000, () => [agent.beat()]);
    await world.endFlows('SUCCEEDED');
    expect(await health.pass(60_000, () => [agent.beat()])).toBe(0);
    await world.ageFlows(10_000);
    expect(await health.pass(60_000, () => [agent.beat()])).toBe(1);
  });
});

describe('a health process that starts again', () => {
  it('fails nothing over that lives, and finds what died meanwhile', async () => {
    const dead = new Agent(
      await insertAmphora(world.db.reader, { loadBalancerId: await insertLoadBalancer(world.db.reader) }),
    );
    const first = await owner(agent, dead);
    await first.health.flusher.flush();
    await world.query(`UPDATE liveness_page SET written_at = written_at - interval '10 minutes'`);
    await world.expireLeases();
    const next = await TestHealth.start(world);
    await next.keep();
    expect(await next.pass(5_500, () => [agent.beat()])).toBe(0);
    expect(await next.pass(10_000, () => [agent.beat()])).toBe(1);
    expect(await world.flowsOf(dead.id)).toEqual(['amphora.failover']);
    expect(await world.flowsOf(agent.id)).toEqual([]);
  });

  it('does not judge by silence that was its own', async () => {
    const health = await owner(agent);
    health.now += 3_600_000;
    expect(await health.health.judge.search()).toBe(0);
    expect(await health.pass(TIMEOUT_MS, () => [agent.beat()])).toBe(0);
    health.now += 3_600_000;
    expect(await health.pass(TIMEOUT_MS - 500)).toBe(0);
    expect(await health.pass(2_000)).toBe(1);
  });
});

describe('a process that takes so long to load that it loses its shards again', () => {
  it('keeps nothing of them, and takes no heartbeats', async () => {
    const health = await TestHealth.start(world);
    const other = await TestHealth.start(world);
    const loading = Promise.withResolvers<void>();
    const blocked = world.db.transaction(async (tx) => {
      await tx.query('LOCK TABLE liveness_slot IN ACCESS EXCLUSIVE MODE');
      loading.resolve();
      await health.health.shards.keep();
      await world.expireLeases();
      await other.health.shards.keep();
      await health.health.shards.keep();
    });
    await loading.promise;
    await blocked;
    await health.health.shards.loaded();
    expect(health.health.table.size).toBe(0);
    expect((await health.report([agent.beat()])).notOwned).toHaveLength(1);
    await other.health.shards.loaded();
    expect(other.health.table.size).toBe(1);
  });
});

describe('a process that lost its shards without noticing', () => {
  it('changes nothing any more', async () => {
    const listenerId = await insertListener(world.db.reader, loadBalancerId);
    agent.listeners = { [listenerId]: 'OPEN' };
    const first = await owner(agent);
    await first.health.flusher.flush();
    first.isRenewing = false;
    const second = await TestHealth.start(world);
    await world.expireLeases();
    await second.keep();
    const before = await world.query('SELECT epoch, written_at FROM liveness_page');
    const statuses = await world.query('SELECT * FROM operating_status ORDER BY object_id');

    agent.listeners = {};
    const counters = [
      {
        listenerId,
        absolute: false,
        bytesIn: 1n,
        bytesOut: 1n,
        totalConnections: 1n,
        requestErrors: 0n,
        activeConnections: 0n,
      },
    ];
    await first.report([agent.beat()]);
    const attempts: [string, () => Promise<unknown>][] = [
      ['liveness', () => first.health.flusher.flush()],
      ['statuses', () => first.health.statusWriter.work()],
      ['silence', () => first.pass(10_000)],
    ];
    for (const [, attempt] of attempts) await attempt();
    await expect(first.report([agent.beat({ counters })])).resolves.toMatchObject({ notOwned: [expect.any(Number)] });

    expect(await world.query('SELECT epoch, written_at FROM liveness_page')).toEqual(before);
    expect(await world.query('SELECT * FROM operating_status ORDER BY object_id')).toEqual(statuses);
    expect(await world.query('SELECT 1 FROM listener_statistics')).toEqual([]);
    expect(await world.flowsOf(agent.id)).toEqual([]);
  });

  it('learns it from its first late write, whichever that is', async () => {
    const listenerId = await insertListener(world.db.reader, loadBalancerId);
    const counters = [
      {
        listenerId,
        absolute: false,
        bytesIn: 1n,
        bytesOut: 1n,
        totalConnections: 1n,
        requestErrors: 0n,
        activeConnections: 0n,
      },
    ];
    agent.listeners = { [listenerId]: 'OPEN' };
    const writes: ((health: TestHealth) => Promise<unknown>)[] = [
      (health) => health.report([agent.beat({ counters })]).catch(() => {}),
      (health) => health.pass(TIMEOUT_MS + 500),
      async (health) => {
        agent.listeners = {};
        await health.report([agent.beat()]);
        await health.health.statusWriter.work();
      },
    ];
    for (const write of writes) {
      await world.expireLeases();
      const health = await owner(agent);
      health.isRenewing = false;
      const next = await TestHealth.start(world);
      await world.expireLeases();
      await next.keep();
      await world.query('DELETE FROM operating_status');
      await write(health);
      expect(health.health.shards.ranges()).toEqual([]);
      expect(health.health.table.size).toBe(0);
      expect(await world.query('SELECT 1 FROM listener_statistics')).toEqual([]);
      expect(await world.query('SELECT 1 FROM operating_status')).toEqual([]);
      expect(await world.query('SELECT 1 FROM flow')).toEqual([]);
    }
  });
});

describe('an amphora of a pair that falls silent', () => {
  it('is failed over, and the other one is judged all the time', async () => {
    const other = new Agent(await insertAmphora(world.db.reader, { loadBalancerId }));
    const listenerId = await insertListener(world.db.reader, loadBalancerId);
    const statusOf = async (id: string) =>
      (await world.query('SELECT status FROM operating_status WHERE object_id = $1', [id]))[0]?.status;
    for (const one of [agent, other]) one.listeners = { [listenerId]: 'OPEN' };
    const health = await owner(agent, other);
    expect(await health.pass(TIMEOUT_MS + 1_000, () => [other.beat()])).toBe(1);
    expect(await world.flowsOf(agent.id)).toEqual(['amphora.failover']);
    // While that runs, the word of the other one counts, and its silence is noticed.
    other.listeners = { [listenerId]: 'FULL' };
    expect(await health.pass(2_000, () => [other.beat({ statusHash: 99n })])).toBe(0);
    expect([await statusOf(loadBalancerId), await statusOf(listenerId)]).toEqual(['DEGRADED', 'DEGRADED']);
    expect(await health.pass(20_000)).toBe(0);
    expect(await world.flowsOf(other.id)).toEqual([]);
    // One failover at a time: the other one is next, at once.
    await world.query(`UPDATE amphora SET status = 'PENDING_DELETE' WHERE id = $1`, [agent.id]);
    await world.endFlows('SUCCEEDED');
    expect(await health.pass(1_000)).toBe(1);
    expect(await world.flowsOf(other.id)).toEqual(['amphora.failover']);
    expect(await rowOf(other.id)).toEqual({ status: 'ALLOCATED', reason: 'HEARTBEAT_LOST' });
  });
});
