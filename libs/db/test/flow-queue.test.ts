import type { NewFlow } from '@octavia/domain';
import fc from 'fast-check';
import { v7 as uuidv7 } from 'uuid';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Database, FlowQueue, Flows, type Lease, LeaseLost } from '../src/index.ts';
import { type TestDatabase, testDatabase } from '../src/testing/index.ts';
import { type ModelFlow, QueueModel } from './flow-model.ts';

const flows = new Flows();
const queue = new FlowQueue();
const LEASE_MS = 600_000;
const NAMES = ['load_balancer.create', 'load_balancer.update', 'load_balancer.failover', 'load_balancer.delete'];
const known = [...NAMES, 'amphora.delete'].map((name) => ({ name, version: 1 }));
const error = { reason: 'TEST', message: 'a test said so' };

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
beforeEach(() => db.reader.query('TRUNCATE flow, flow_step, turn, load_balancer CASCADE'));

function flow(name: string, key: string, more: Partial<NewFlow> = {}): NewFlow {
  return {
    name,
    version: 1,
    priority: name.endsWith('failover') ? 0 : name.endsWith('delete') ? 10 : 20,
    turnKey: key,
    loadBalancerId: key,
    amphoraId: null,
    projectId: 'project',
    author: 'user',
    requestId: 'request',
    input: {},
    deadlineMs: 60_000,
    stopsOthers: /failover|delete/.test(name),
    ...more,
  };
}
const start = (wanted: NewFlow) => db.transaction((tx) => flows.start(tx, wanted));
const claim = (onlyUrgent = false, leaseMs = LEASE_MS) =>
  queue.claim(db.reader, { worker: 'test', leaseMs, known, onlyUrgent });
async function claimed(onlyUrgent = false) {
  const got = await claim(onlyUrgent);
  if (!got) throw new Error('There was nothing to claim.');
  return got;
}
const step = (name: string, position = 0) => ({ name, position });
const expire = (id: string) =>
  db.reader.query(`UPDATE flow SET lease_expires_at = now() - interval '1 s' WHERE id = $1`, [id]);
const finish = (lease: Lease) => db.transaction((tx) => queue.finish(tx, lease, { state: 'SUCCEEDED' }));
const halfDo = (lease: Lease, name: string) =>
  db.transaction(async (tx) => {
    await queue.markHalfDone(tx, lease);
    await queue.advance(tx, lease, { next: step(name) });
  });
const retry = (lease: Lease, delayMs: number) =>
  db.transaction((tx) => queue.retryLater(tx, lease, { delayMs, error }));

describe('the queue of flows', () => {
  it('gives each flow to one worker, and lets flows of one load balancer take turns', async () => {
    const keys = Array.from({ length: 5 }, () => uuidv7());
    for (const key of keys) {
      await start(flow('load_balancer.create', key));
      await start(flow('amphora.delete', key, { stopsOthers: false }));
    }
    const got = await Promise.all(Array.from({ length: 20 }, () => claim()));
    const turns = got.flatMap((one) => (one ? [one.flow.turnKey] : []));
    expect(turns.length).toBe(new Set(turns).size);
  });

  it('gives several at once, each of another turn, the first of each and the most urgent first', async () => {
    const keys = Array.from({ length: 4 }, () => uuidv7());
    const first: string[] = [];
    for (const key of keys) {
      const create = await start(flow('load_balancer.create', key));
      await start(flow('amphora.delete', key, { priority: 30, stopsOthers: false }));
      first.push(create);
    }
    const urgent = await start(flow('load_balancer.failover', uuidv7()));
    const several = (limit: number) =>
      queue.claimSeveral(db.reader, { worker: 'test', leaseMs: LEASE_MS, known, onlyUrgent: false }, limit);
    const two = (await several(2)).map((one) => one.flow.id);
    expect(two.sort()).toEqual([urgent, first[0]].sort());
    const rest = await several(100);
    expect(rest.map((one) => one.flow.id).sort()).toEqual(first.slice(1).sort());
    expect(await several(100)).toEqual([]);
    for (const { lease } of rest) await finish(lease);
    expect((await several(100)).map((one) => one.flow.name)).toEqual(rest.map(() => 'amphora.delete'));
  });

  it('takes failovers before everything else, and leaves the last slots to them', async () => {
    await start(flow('load_balancer.create', uuidv7()));
    const failover = await start(flow('load_balancer.failover', uuidv7()));
    expect((await claimed(true)).flow.id).toBe(failover);
    expect(await claim(true)).toBeNull();
  });

  it('counts what a failover waits for as urgent as the failover', async () => {
    const key = uuidv7();
    const create = await start(flow('load_balancer.create', key));
    const { lease } = await claimed();
    await halfDo(lease, 'build');
    await retry(lease, 3_600_000);
    expect(await claim()).toBeNull();
    const failover = await start(flow('load_balancer.failover', key));
    const stopped = await claimed(true);
    expect(stopped.flow).toMatchObject({ id: create, stopRequested: 'FAILOVER' });
    await finish(stopped.lease);
    expect((await claimed(true)).flow.id).toBe(failover);
  });

  it('leaves flows of other releases to other workers', async () => {
    await start(flow('load_balancer.update', uuidv7(), { version: 2 }));
    await start(flow('load_balancer.split', uuidv7()));
    expect(await claim()).toBeNull();
  });

  it('hands a flow on when its lease has run out, with what was saved', async () => {
    const id = await start(flow('load_balancer.create', uuidv7()));
    const first = await claimed();
    await queue.advance(db.reader, first.lease, { next: step('one') });
    await queue.advance(db.reader, first.lease, { done: { ...step('one'), output: { a: 1 } }, next: step('two', 1) });
    await expire(id);
    const second = await claimed();
    expect(second.lease.epoch).toBe(2);
    expect(second.steps).toMatchObject([
      { name: 'one', state: 'DONE', output: { a: 1 } },
      { name: 'two', state: 'STARTED', output: null },
    ]);
  });

  it('lets nobody write who has lost the lease', async () => {
    const id = await start(flow('load_balancer.create', uuidv7()));
    const { lease } = await claimed();
    await expire(id);
    await claimed();
    const before = await everything();
    const writes = [
      () => queue.advance(db.reader, lease, { next: step('one') }),
      () => halfDo(lease, 'one'),
      () => queue.waitFor(db.reader, lease, 'nothing'),
      () => retry(lease, 0),
      () => queue.turnBack(db.reader, lease, error),
      () => queue.undone(db.reader, lease, step('one'), null),
      () => finish(lease),
      () => db.transaction(async () => {}, { guard: queue.guard(lease) }),
    ];
    for (const write of writes) await expect(write()).rejects.toThrow(LeaseLost);
    await queue.release(db.reader, lease);
    expect(await queue.renew(db.reader, [lease], LEASE_MS)).toMatchObject([{ outcome: 'LOST' }]);
    expect(await everything()).toEqual(before);
  });

  it('renews leases without waiting for a row that is locked, and tells who shall stop', async () => {
    const key = uuidv7();
    const busy = await start(flow('load_balancer.create', uuidv7()));
    const stopped = await start(flow('load_balancer.create', key));
    const leases = [(await claimed()).lease, (await claimed()).lease];
    await start(flow('load_balancer.failover', key));
    await db.transaction(async (tx) => {
      await tx.query('SELECT 1 FROM flow WHERE id = $1 FOR UPDATE', [busy]);
      const renewals = await queue.renew(db.reader, leases, LEASE_MS);
      expect(new Map(renewals.map((renewal) => [renewal.flowId, renewal]))).toEqual(
        new Map([
          [busy, { flowId: busy, outcome: 'BUSY', stopRequested: null }],
          [stopped, { flowId: stopped, outcome: 'KEPT', stopRequested: 'FAILOVER' }],
        ]),
      );
    });
  });

  it('frees the turn while a flow with nothing to undo waits for its next try', async () => {
    const key = uuidv7();
    await start(flow('load_balancer.update', key));
    await retry((await claimed()).lease, 3_600_000.5);
    const other = await start(flow('load_balancer.delete', key));
    expect((await claimed()).flow.id).toBe(other);
  });

  it('does not count the time in which nobody took a flow against its deadline', async () => {
    const id = await start(flow('load_balancer.create', uuidv7()));
    await db.reader.query(
      `UPDATE flow SET run_at = run_at - interval '1 day', deadline_at = deadline_at - interval '1 day' WHERE id = $1`,
      [id],
    );
    const { remainingMs } = await claimed();
    expect(remainingMs).toBeGreaterThan(59_000);
    expect(remainingMs).toBeLessThanOrEqual(60_000);
  });

  it('knows when something comes due', async () => {
    expect(await queue.nextDue(db.reader)).toBeNull();
    await start(flow('load_balancer.create', uuidv7(), { delayMs: 5_000 }));
    expect(await queue.nextDue(db.reader)).toBeGreaterThan(4_000);
  });

  it('behaves as its model, whatever is asked in whatever order', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(command, { minLength: 30, maxLength: 80, size: 'max' }), async (commands) => {
        await db.reader.query('TRUNCATE flow, flow_step, turn, load_balancer CASCADE');
        const world = await World.make();
        for (const one of commands) {
          await world.run(one);
          await world.check();
        }
        await world.settle();
      }),
      { numRuns: Number(process.env.FLOW_MODEL_RUNS ?? 30), endOnFailure: true },
    );
  }, 120_000);
});

interface Command {
  readonly what: 'start' | 'change' | 'claim' | 'urgent' | 'save' | 'retry' | 'expire' | 'stop' | 'finish' | 'time';
  readonly key: number;
  readonly choice: number;
}
const command: fc.Arbitrary<Command> = fc.record({
  what: fc.constantFrom(
    'start',
    'change',
    'change',
    'claim',
    'claim',
    'claim',
    'urgent',
    'save',
    'save',
    'retry',
    'retry',
    'expire',
    'stop',
    'finish',
    'time',
  ),
  key: fc.nat({ max: 1 }),
  choice: fc.nat({ max: 7 }),
});

/** Runs each command on the model and on the real queue, and compares. */
class World {
  readonly #model = new QueueModel();
  readonly #keys: readonly string[];
  readonly #leases = new Map<string, Lease>();
  /** Newest desired revision that a flow has read. */
  readonly #targets = new Map<string, number>();
  /** Leases of workers that fell silent and were replaced. */
  readonly #stale: Lease[] = [];

  constructor(keys: readonly string[]) {
    this.#keys = keys;
  }

  static async make(): Promise<World> {
    const keys = [uuidv7(), uuidv7()];
    for (const key of keys) await insertLoadBalancer(key);
    return new World(keys);
  }

  async run({ what, key: index, choice }: Command): Promise<void> {
    const key = this.#keys[index] ?? '';
    const open = this.#model.open(key);
    const running = open.find(({ state }) => state === 'RUNNING');
    const zombie = this.#stale.at(choice % Math.max(1, this.#stale.length));
    if (what === 'start') return this.#start(key, NAMES[choice % NAMES.length] ?? '');
    if (what === 'change') return this.#change(key);
    if (what === 'claim' || what === 'urgent') return this.#claim(what === 'urgent');
    if (what === 'time') return this.#passTime();
    if (what === 'stop') return this.#stop(open[choice % Math.max(1, open.length)]);
    if (zombie && choice === 7) return this.#wakeZombie(zombie, what);
    if (!running) return;
    if (what === 'save') return this.#save(running, choice);
    if (what === 'retry') return this.#retry(running, choice % 2 === 0);
    if (what === 'expire') return this.#expire(running);
    return this.#finish(running);
  }

  async #start(key: string, name: string): Promise<void> {
    if (name === 'load_balancer.update') return this.#change(key);
    const wanted = flow(name, key);
    this.#model.start(await start(wanted), key, name, wanted.priority, wanted.stopsOthers);
  }

  async #change(key: string): Promise<void> {
    const id = await db.transaction(async (tx) => {
      await tx.query('UPDATE load_balancer SET desired_revision = desired_revision + 1 WHERE id = $1', [key]);
      return flows.ensurePush(tx, flow('load_balancer.update', key));
    });
    this.#model.ensurePush(key, () => id);
    expect(this.#model.open(key).map((one) => one.id)).toContain(id);
  }

  async #claim(onlyUrgent: boolean): Promise<void> {
    const expected = this.#model.next(onlyUrgent);
    const got = await claim(onlyUrgent);
    expect(got?.flow.id).toBe(expected?.id);
    if (!got || !expected) return;
    const old = this.#leases.get(expected.id);
    if (old && expected.state === 'RUNNING') this.#stale.push(old);
    this.#model.claimed(expected);
    this.#leases.set(expected.id, got.lease);
    expect(got.lease.epoch).toBe(expected.epoch);
  }

  async #save(running: ModelFlow, choice: number): Promise<void> {
    const lease = this.#lease(running);
    const [row] = await db.reader.query('SELECT desired_revision FROM load_balancer WHERE id = $1', [running.key]);
    this.#targets.set(running.id, row.desired_revision);
    const isUndoable = running.name !== 'load_balancer.update';
    if (isUndoable) await halfDo(lease, `step ${choice}`);
    else await queue.advance(db.reader, lease, { next: step('push') });
    running.isHalfDone ||= isUndoable;
  }

  async #retry(running: ModelFlow, isDelayed: boolean): Promise<void> {
    await retry(this.#lease(running), isDelayed ? 3_600_000 : 0);
    this.#model.retry(running, isDelayed);
  }

  async #expire(running: ModelFlow): Promise<void> {
    await expire(running.id);
    running.hasExpired = true;
  }

  async #stop(flow: ModelFlow | undefined): Promise<void> {
    if (!flow) return;
    expect(await db.transaction((tx) => flows.requestStop(tx, flow.id))).toBe(true);
    this.#model.stop(flow, 'CANCELLED');
  }

  async #passTime(): Promise<void> {
    await db.reader.query(`UPDATE flow SET run_at = clock_timestamp() WHERE state = 'QUEUED' AND run_at > now()`);
    // They become due at one instant: the ids decide, which grow.
    for (const flow of this.#model.flows.filter(({ state }) => state === 'QUEUED')) this.#model.wake(flow);
  }

  async #wakeZombie(lease: Lease, what: string): Promise<void> {
    const write =
      what === 'retry'
        ? retry(lease, 0)
        : what === 'save'
          ? halfDo(lease, 'late')
          : this.#finishIn(lease, lease.turnKey);
    await expect(write).rejects.toThrow(LeaseLost);
  }

  async #finish(running: ModelFlow): Promise<void> {
    const id = await this.#finishIn(this.#lease(running), running.key, this.#targets.get(running.id));
    running.state = 'ENDED';
    running.isHalfDone = false;
    if (id) this.#model.ensurePush(running.key, () => id);
  }

  /** As the engine ends a flow: under the load balancer's lock, and with a push of what is still to do. */
  async #finishIn(lease: Lease, key: string, target?: number): Promise<string | null> {
    return db.transaction(async (tx) => {
      const [row] = await tx.query(
        `SELECT desired_revision, applied_revision FROM load_balancer WHERE id = $1 FOR UPDATE`,
        [key],
      );
      const settled = target ?? row.applied_revision;
      await tx.query('UPDATE load_balancer SET applied_revision = $2 WHERE id = $1', [key, settled]);
      await queue.finish(tx, lease, { state: 'SUCCEEDED' });
      return row.desired_revision > settled ? flows.ensurePush(tx, flow('load_balancer.update', key)) : null;
    });
  }

  #lease({ id }: ModelFlow): Lease {
    const lease = this.#leases.get(id);
    if (!lease) throw new Error('A running flow has a lease.');
    return lease;
  }

  /** What must hold after every command, read from the database. */
  async check(): Promise<void> {
    const rows = await db.reader.query(
      `SELECT flow.id, state, stop_requested, epoch, holder = flow.id AS holds, half_done = flow.id AS half_done
       FROM flow JOIN turn ON turn.key = turn_key ORDER BY flow.id`,
    );
    expect(rows).toEqual(
      this.#model.flows
        .toSorted((a, b) => (a.id < b.id ? -1 : 1))
        .map((flow) => ({
          id: flow.id,
          state: flow.state === 'ENDED' ? 'SUCCEEDED' : flow.state,
          stop_requested: flow.stop,
          epoch: flow.epoch,
          holds: this.#holds(flow.key) === null ? null : this.#holds(flow.key) === flow.id,
          half_done: this.#halfDone(flow.key) === null ? null : this.#halfDone(flow.key) === flow.id,
        })),
    );
    const forgotten = await db.reader.query(
      `SELECT id FROM load_balancer lb WHERE desired_revision > applied_revision AND desired_revision > 1 AND NOT EXISTS
         (SELECT 1 FROM flow WHERE load_balancer_id = lb.id AND state IN ('QUEUED', 'RUNNING'))`,
    );
    expect(forgotten).toEqual([]);
  }

  #holds(key: string): string | null {
    return this.#model.open(key).find(({ state }) => state === 'RUNNING')?.id ?? null;
  }
  #halfDone(key: string): string | null {
    return this.#model.open(key).find(({ isHalfDone }) => isHalfDone)?.id ?? null;
  }

  /** Every worker dies, time passes, and a new worker goes on until there is nothing left: all must have ended. */
  async settle(): Promise<void> {
    for (const running of this.#model.flows.filter(({ state }) => state === 'RUNNING')) await this.#expire(running);
    await this.#passTime();
    for (let rounds = 0; this.#model.next(false); rounds++) {
      expect(rounds).toBeLessThan(200);
      const next = this.#model.next(false);
      await this.#claim(false);
      if (next) await this.#save(next, 0);
      if (next) await this.#finish(next);
    }
    await this.check();
    expect(await claim()).toBeNull();
    expect(await db.reader.query(`SELECT id FROM flow WHERE state <> 'SUCCEEDED'`)).toEqual([]);
    expect(await db.reader.query('SELECT key FROM turn WHERE holder IS NOT NULL OR half_done IS NOT NULL')).toEqual([]);
    expect(
      await db.reader.query(
        'SELECT id FROM load_balancer WHERE desired_revision > 1 AND applied_revision < desired_revision',
      ),
    ).toEqual([]);
  }
}

async function everything(): Promise<unknown> {
  return [
    await db.reader.query('SELECT * FROM flow ORDER BY id'),
    await db.reader.query('SELECT * FROM flow_step ORDER BY flow_id, position'),
    await db.reader.query('SELECT * FROM turn ORDER BY key'),
  ];
}

async function insertLoadBalancer(id: string): Promise<void> {
  await db.reader.query(
    `INSERT INTO load_balancer (id, project_id, author, request_id, name, admin_state_up, provisioning_status, revision,
       topology, vip_subnet_id, desired_revision)
     VALUES ($1, 'p', 'a', 'r', 'lb', true, 'ACTIVE', 1, 'SINGLE', $1, 1)`,
    [id],
  );
}
