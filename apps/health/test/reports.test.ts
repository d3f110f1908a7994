import { randomUUID } from 'node:crypto';
import { insertAmphora, insertListener, insertLoadBalancer } from '@octavia/db/testing';
import { shardOf } from '@octavia/domain';
import { ListenerCounters, type ShardMap } from '@octavia/proto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Agent, TestHealth, TIMEOUT_MS, World } from './world.ts';

let world: World;
let loadBalancerId: string;
let listenerId: string;
let agent: Agent;
beforeEach(async () => {
  world = await World.start();
  loadBalancerId = await insertLoadBalancer(world.db.reader);
  listenerId = await insertListener(world.db.reader, loadBalancerId);
  agent = new Agent(await insertAmphora(world.db.reader, { loadBalancerId }));
  agent.listeners = { [listenerId]: 'OPEN' };
});
afterEach(() => world.stop());

const traffic = (id = listenerId) =>
  ListenerCounters.fromPartial({ listenerId: id, bytesIn: 10n, bytesOut: 20n, totalConnections: 1n });
const bytesIn = async () => {
  const rows = await world.query('SELECT bytes_in FROM listener_statistics WHERE listener_id = $1', [listenerId]);
  return rows.map((row: { bytes_in: string }) => row.bytes_in);
};
const statusOf = async (id: string) =>
  (await world.query('SELECT status FROM operating_status WHERE object_id = $1', [id]))[0]?.status;

describe('a batch of heartbeats', () => {
  it('is not taken before the shards are ours, and the reply names them', async () => {
    const health = await TestHealth.start(world);
    expect(await health.report([agent.beat()])).toEqual({ wantedStatuses: [], notOwned: [shardOf(agent.id)] });
    await health.keep();
    expect(await health.report([agent.beat()])).toEqual({ wantedStatuses: [], notOwned: [] });
  });

  it('is refused as a whole when it cannot be read, and in part when ids are no ids', async () => {
    const health = await TestHealth.start(world);
    await health.keep();
    const tooMany = Array.from({ length: 1_001 }, () => agent.beat({ status: undefined }));
    await expect(health.report(tooMany)).rejects.toMatchObject({ reason: 'TOO_MANY' });
    const bad = [new Agent('../../etc/passwd').beat(), agent.beat({ counters: [traffic('x'), traffic()] })];
    await health.report(bad);
    expect(await bytesIn()).toEqual(['10']);
  });

  it('leads to statuses, and asks for the whole report when it knows only its hash', async () => {
    const health = await TestHealth.start(world);
    await health.keep();
    const { wantedStatuses } = await health.report([agent.beat({ status: undefined })]);
    expect(wantedStatuses).toEqual([agent.id]);
    expect((await health.report([agent.beat()])).wantedStatuses).toEqual([]);
    await health.health.statusWriter.work();
    expect([await statusOf(loadBalancerId), await statusOf(listenerId)]).toEqual(['ONLINE', 'ONLINE']);
    const [event] = await world.query(`SELECT payload FROM event WHERE kind = 'operating_status_changed'`);
    expect(event.payload.changes).toContainEqual(
      expect.objectContaining({ object_id: listenerId, from: 'OFFLINE', to: 'ONLINE' }),
    );
    await health.report([agent.beat({ status: undefined })]);
    await health.health.statusWriter.work();
    expect(await world.query(`SELECT 1 FROM event`)).toHaveLength(1);
  });

  it('counts traffic once, however often it is sent, also after the database refused it', async () => {
    const health = await TestHealth.start(world);
    await health.keep();
    const heartbeats = [agent.beat({ counters: [traffic()] })];
    await world.query('ALTER TABLE listener_statistics RENAME TO away');
    await expect(health.report(heartbeats, 1n)).rejects.toMatchObject({ reason: 'DATABASE_UNAVAILABLE' });
    await world.query('ALTER TABLE away RENAME TO listener_statistics');
    await Promise.all([health.report(heartbeats, 1n), health.report(heartbeats, 1n)]);
    await health.report(heartbeats, 1n);
    expect(await bytesIn()).toEqual(['10']);
    await health.report([agent.beat({ counters: [traffic()] })], 2n);
    expect(await bytesIn()).toEqual(['20']);
  });

  it('does not count a datagram that is sent again in another batch', async () => {
    const health = await TestHealth.start(world);
    await health.keep();
    const recorded = agent.beat({ counters: [traffic()] });
    await health.report([recorded]);
    await health.report([recorded]);
    expect(await bytesIn()).toEqual(['10']);
  });

  it('counts nothing for a listener of another load balancer', async () => {
    const foreign = await insertListener(world.db.reader, await insertLoadBalancer(world.db.reader));
    const health = await TestHealth.start(world);
    await health.keep();
    await health.report([agent.beat({ counters: [traffic(foreign)] })]);
    expect(await world.query('SELECT 1 FROM listener_statistics')).toEqual([]);
  });

  it('is told of an amphora that is gone, and nothing happens', async () => {
    const gone = new Agent(await insertAmphora(world.db.reader, { status: 'DELETED' }));
    const health = await TestHealth.start(world);
    await health.keep();
    await health.report([gone.beat(), new Agent(randomUUID()).beat()]);
    await health.health.roster.follow();
    expect(health.health.table.size).toBe(1);
    expect(await world.query('SELECT 1 FROM flow')).toEqual([]);
  });

  it('makes an amphora known that was allocated unnoticed', async () => {
    const health = await TestHealth.start(world);
    await health.keep();
    const late = new Agent(await insertAmphora(world.db.reader, { status: 'READY' }));
    await health.report([late.beat()]);
    await health.health.roster.follow();
    expect(health.health.table.indexOf(late.id)).toBeDefined();
  });
});

describe('a pair of amphorae', () => {
  it('is as good as the better of its fresh reports', async () => {
    const other = new Agent(await insertAmphora(world.db.reader, { loadBalancerId }));
    const health = await TestHealth.start(world);
    await health.keep();
    await health.report([agent.beat(), other.beat()]);
    await health.health.statusWriter.work();
    expect(await statusOf(listenerId)).toBe('ONLINE');
    expect(await statusOf(loadBalancerId)).toBe('DEGRADED');
    // The one that serves falls silent: only the other's word is left.
    health.now += TIMEOUT_MS + 1;
    await health.report([other.beat()]);
    health.health.statusWriter.enqueue(loadBalancerId);
    await health.health.statusWriter.work();
    expect(await statusOf(listenerId)).toBe('ERROR');
  });
});

describe('a pair whose amphorae differ', () => {
  it('is DEGRADED with the reason while nothing is under way, and ONLINE again when they agree', async () => {
    const other = new Agent(await insertAmphora(world.db.reader, { loadBalancerId }));
    const health = await TestHealth.start(world);
    await health.keep();
    await health.report([agent.beat(), other.beat()]);
    await health.health.statusWriter.work();
    const [event] = await world.query(`SELECT payload FROM event WHERE kind = 'operating_status_changed'`);
    expect(event.payload.changes).toContainEqual(
      expect.objectContaining({ object_id: loadBalancerId, to: 'DEGRADED', reason: 'AMPHORAE_DISAGREE' }),
    );
    other.listeners = { [listenerId]: 'OPEN' };
    await health.report([agent.beat(), other.beat()]);
    await health.health.statusWriter.work();
    expect(await statusOf(loadBalancerId)).toBe('ONLINE');
  });
});

describe('the shard map', () => {
  it('is streamed, now and after each change of owner', async () => {
    const first = await TestHealth.start(world);
    await first.keep();
    const second = await TestHealth.start(world);
    const seen: string[] = [];
    const stop = new AbortController();
    const own = (map: ShardMap) => map.ranges.map((range) => `${range.first}-${range.last} ${range.epoch}`).join();
    for await (const map of second.client.watchShardMap({}, { signal: stop.signal })) {
      seen.push(own(map));
      if (seen.length === 2) break;
      await world.expireLeases();
      await second.keep();
      await second.health.shardMap.refresh();
    }
    expect(seen).toEqual(['0-4095 1', '0-4095 2']);
  });
});
