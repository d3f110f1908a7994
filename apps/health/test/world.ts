import { randomUUID } from 'node:crypto';
import { Database } from '@octavia/db';
import { type TestDatabase, testDatabase } from '@octavia/db/testing';
import { Heartbeat, HeartbeatServiceClient, HeartbeatServiceService } from '@octavia/proto';
import { formatHostPort, GrpcServer, type RpcClient, rpcClient } from '@octavia/service';
import { type TestPki, testPki } from '@octavia/service/testing';
import { pino } from 'pino';
import { heartbeatHandlers } from '../src/handlers/heartbeat.ts';
import { Health } from '../src/health.ts';

export const INTERVAL_MS = 1_000;
export const TIMEOUT_MS = 4_000;
const LEASE_MS = 5_000;
const CONFIG = {
  heartbeatIntervalMs: INTERVAL_MS,
  heartbeatTimeoutMs: TIMEOUT_MS,
  healthCheckIntervalMs: 500,
  shardLeaseMs: LEASE_MS,
  flushIntervalMs: 1_000,
  flowDeadlineMs: 60_000,
};

/** A health process whose clock and rounds the test turns itself. */
export class TestHealth {
  now = 1_000_000;
  readonly health: Health;
  readonly db: Database;
  readonly client: RpcClient<typeof HeartbeatServiceService>;
  readonly #server: GrpcServer;
  #batch = 0n;
  readonly senderId = randomUUID();
  /** Whether it renews its shards as time goes by. */
  isRenewing = true;

  private constructor(health: Health, db: Database, server: GrpcServer, client: TestHealth['client']) {
    this.health = health;
    this.db = db;
    this.#server = server;
    this.client = client;
  }

  static async start(world: World): Promise<TestHealth> {
    const db = new Database({ url: world.test.url, applicationName: 'health' });
    await db.start();
    const log = pino({ level: 'silent' });
    const address = (): string => formatHostPort(server.address);
    const health: Health = new Health({ db, clock: () => self.now, log, address, config: CONFIG });
    const server = new GrpcServer({
      bind: { host: '127.0.0.1', port: 0 },
      tls: await world.pki.cert('health'),
      allowedClients: ['heartbeat-udp'],
      log,
    }).add(HeartbeatServiceService, heartbeatHandlers(health));
    await server.start();
    const client = rpcClient(HeartbeatServiceClient, server.address, await world.pki.cert('heartbeat-udp'));
    const self = new TestHealth(health, db, server, client);
    world.running.push(self);
    return self;
  }

  /** Renews and claims shards, and loads what was gained. */
  async keep(): Promise<void> {
    await this.health.shards.keep();
    await this.health.shards.loaded();
  }

  /** Takes the shards and gets over everything that a new owner waits for. */
  async own(): Promise<this> {
    await this.keep();
    await this.pass(LEASE_MS + 1_000 + TIMEOUT_MS);
    return this;
  }

  /**
   * Lets time go by. `heartbeats` is asked each half second for what amphorae say; without it the listeners send empty
   * batches. Returns how many flows were started.
   */
  async pass(ms: number, heartbeats: () => Heartbeat[] = () => []): Promise<number> {
    let started = 0;
    for (const end = this.now + ms; this.now < end; ) {
      this.now += 500;
      if (this.isRenewing) await this.keep();
      await this.report(heartbeats());
      await this.health.statusWriter.work();
      started += await this.health.judge.search();
    }
    return started;
  }

  async report(heartbeats: Heartbeat[], number = ++this.#batch) {
    return this.client.reportHeartbeats({ senderId: this.senderId, number, heartbeats });
  }

  async stop(): Promise<void> {
    this.client.close();
    await this.#server.stop();
    await this.db.stop();
  }
}

/** A database, certificates, and the health processes of one test. */
export class World {
  readonly test: TestDatabase;
  readonly pki: TestPki;
  readonly db: Database;
  readonly running: TestHealth[] = [];

  private constructor(test: TestDatabase, pki: TestPki, db: Database) {
    this.test = test;
    this.pki = pki;
    this.db = db;
  }

  static async start(): Promise<World> {
    const test = await testDatabase();
    const db = new Database({ url: test.url, applicationName: 'test' });
    await db.start();
    return new World(test, await testPki(), db);
  }

  async stop(): Promise<void> {
    for (const one of this.running) await one.stop();
    await this.db.stop();
    await this.test.drop();
    this.pki.remove();
  }

  query(sql: string, values: unknown[] = []) {
    return this.db.reader.query(sql, values);
  }

  /** Names of the flows of an amphora, oldest first. */
  async flowsOf(amphoraId: string): Promise<string[]> {
    const rows = await this.query('SELECT name FROM flow WHERE amphora_id = $1 ORDER BY id', [amphoraId]);
    return rows.map((row: { name: string }) => row.name);
  }

  async endFlows(state: string, reason: string | null = null): Promise<void> {
    await this.query(
      `UPDATE flow SET state = $1, finished_at = clock_timestamp(), last_error = $2 WHERE state IN ('QUEUED', 'RUNNING')`,
      [state, reason === null ? null : JSON.stringify({ reason })],
    );
  }

  /** As if the failed flows had ended so much earlier. */
  async ageFlows(ms: number): Promise<void> {
    await this.query(`UPDATE flow SET finished_at = finished_at - $1 * interval '1 ms' WHERE finished_at IS NOT NULL`, [
      ms,
    ]);
  }

  expireLeases(): Promise<void> {
    return this.query(`UPDATE shard_owner SET lease_expires_at = now() - interval '1 s'`);
  }
}

/** A sender of heartbeats that counts as an agent does. */
export class Agent {
  readonly id: string;
  boot: string = randomUUID();
  #seq = 0;
  listeners: Record<string, string> = {};

  constructor(id: string) {
    this.id = id;
  }

  beat(more: Partial<Heartbeat> = {}): Heartbeat {
    this.#seq += 1;
    const statusHash = BigInt(Object.keys(this.listeners).length + 1);
    return Heartbeat.fromPartial({
      amphoraId: this.id,
      seq: BigInt(this.#seq),
      boot: this.boot,
      statusHash,
      status: { listeners: this.listeners, pools: {} },
      datagrams: 1,
      ...more,
    });
  }
}
