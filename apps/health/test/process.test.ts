import { randomUUID } from 'node:crypto';
import { Database } from '@octavia/db';
import { insertAmphora, insertListener, insertLoadBalancer } from '@octavia/db/testing';
import { HeartbeatServiceClient, HeartbeatServiceService } from '@octavia/proto';
import { formatHostPort, GrpcServer, type Part, rpcClient } from '@octavia/service';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { monotonic } from '../src/clock.ts';
import { readConfig } from '../src/config.ts';
import { heartbeatHandlers } from '../src/handlers/heartbeat.ts';
import { Health } from '../src/health.ts';
import { Agent, World } from './world.ts';

const WITHIN = { timeout: 15_000, interval: 20 };
const CONFIG = {
  heartbeatIntervalMs: 100,
  heartbeatTimeoutMs: 1_000,
  healthCheckIntervalMs: 50,
  shardLeaseMs: 1_000,
  flushIntervalMs: 100,
  flowDeadlineMs: 60_000,
};

describe('the process as a whole', () => {
  let world: World;
  let started: Part[];
  const start = async (part: Part) => {
    await part.start();
    started.push(part);
  };
  beforeEach(async () => {
    world = await World.start();
    started = [];
  });
  afterEach(async () => {
    for (const part of started.reverse()) await part.stop();
    await world.stop();
  });

  it('takes shards and heartbeats, follows changes, replaces what falls silent, and leaves its shards free', async () => {
    const db = new Database({ url: world.test.url, applicationName: 'health' });
    const log = pino({ level: 'silent' });
    const address = (): string => formatHostPort(server.address);
    const health = new Health({ db, clock: monotonic, log, address, config: CONFIG });
    const tls = await world.pki.cert('health');
    const bind = { host: '127.0.0.1', port: 0 };
    const server = new GrpcServer({ bind, tls, allowedClients: ['heartbeat-udp'], log });
    server.add(HeartbeatServiceService, heartbeatHandlers(health));
    for (const part of [db, server, ...health.parts]) await start(part);

    const client = rpcClient(HeartbeatServiceClient, server.address, await world.pki.cert('heartbeat-udp'));
    const loadBalancerId = await insertLoadBalancer(world.db.reader);
    const agent = new Agent(await insertAmphora(world.db.reader, { loadBalancerId }));
    await world.query(`SELECT pg_notify('amphora', $1)`, [agent.id]);
    const senderId = randomUUID();
    let number = 0n;
    let isAlive = true;
    const beating = setInterval(() => {
      number += 1n;
      client.reportHeartbeats({ senderId, number, heartbeats: isAlive ? [agent.beat()] : [] }).catch(() => {});
    }, CONFIG.heartbeatIntervalMs);
    try {
      const statusOf = async (id: string) =>
        (await world.query('SELECT status FROM operating_status WHERE object_id = $1', [id]))[0]?.status;
      await vi.waitFor(async () => expect(await statusOf(loadBalancerId)).toBe('ONLINE'), WITHIN);
      // A listener appears by a change that settled, after the report that names it: only the event tells.
      const listenerId = randomUUID();
      const hash = () => health.table.hash(health.table.indexOf(agent.id) ?? -1);
      const without = hash();
      agent.listeners = { [listenerId]: 'OPEN' };
      await vi.waitFor(() => expect(hash()).not.toBe(without), WITHIN);
      await insertListener(world.db.reader, loadBalancerId, 80, listenerId);
      await world.query(`SELECT pg_notify('event', $1)`, [loadBalancerId]);
      await vi.waitFor(async () => expect(await statusOf(listenerId)).toBe('ONLINE'), WITHIN);
      await vi.waitFor(
        async () =>
          expect(await world.query('SELECT 1 FROM liveness_slot WHERE amphora_id = $1', [agent.id])).toHaveLength(1),
        WITHIN,
      );
      isAlive = false;
      await vi.waitFor(async () => expect(await world.flowsOf(agent.id)).toEqual(['amphora.failover']), WITHIN);
    } finally {
      clearInterval(beating);
      client.close();
    }
    for (const part of started.splice(2).reverse()) await part.stop();
    expect(await world.query('SELECT 1 FROM shard_owner WHERE owner IS NOT NULL')).toEqual([]);
  });

  it('is told all at once what is wrong with its settings', () => {
    expect(() => readConfig({ HEARTBEAT_TIMEOUT: '1', HEALTH_CHECK_INTERVAL: 'soon' })).toThrow(
      /ADVERTISED_ADDRESS[\s\S]*HEARTBEAT_TIMEOUT[\s\S]*HEALTH_CHECK_INTERVAL/,
    );
  });
});
