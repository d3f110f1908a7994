import { setTimeout as sleep } from 'node:timers/promises';
import { deleteAmphora, failoverLoadBalancer } from '@octavia/flows';
import { requester, TestWorld } from '../world.ts';
import { CutProxy } from './cut-proxy.ts';
import { type Kind, type Outside, openOutside } from './outside.ts';
import { type Cell, type Fault, lateFailure, type Passage } from './plan.ts';
import type { Known, Scenario } from './scenarios.ts';
import { END, keyOf, type Trap } from './traps.ts';
import { type Looked, leftovers, untruths } from './truth.ts';
import type { WorkerProcess } from './worker-process.ts';

/** The shortest lease that settings allow. */
const LEASE_MS = 1_000;
/** Deadline of the flows, and what a busy machine adds. */
const LIMIT_MS = 45_000;
const LOOK_MS = 10;

/** What the trap does to the worker. */
const ACTS: Readonly<Record<Fault, Trap['act']>> = {
  kill: 'kill',
  stop: 'stop',
  sleep: 'stop',
  cut: 'hold',
  blip: 'hold',
  fail: 'fail',
  delete: 'hold',
  failover: 'hold',
};

export interface Outcome {
  readonly cell: Cell;
  /** What was not as it must be; empty: passed. */
  readonly faults: readonly string[];
  /** From the fault until nothing was queued or ran any more. */
  readonly settledMs: number;
}

/** A world of its own with two workers: one that gets into the trap, and one that takes over. */
export class Slot {
  readonly #workers: () => WorkerProcess;
  readonly #outside: Outside;
  readonly #world: TestWorld;
  readonly #looked: Looked;
  readonly #proxy: CutProxy;
  readonly #survivor: WorkerProcess;
  #victim: WorkerProcess | null = null;

  private constructor(workers: () => WorkerProcess, outside: Outside, world: TestWorld, proxy: CutProxy) {
    this.#workers = workers;
    this.#outside = outside;
    this.#world = world;
    this.#looked = { db: world.db, serving: (id) => world.serving(id), ...outside.looked };
    this.#proxy = proxy;
    this.#survivor = workers();
  }

  /** @param workers gives a fresh worker process each time */
  static async open(workers: () => WorkerProcess, kind: Kind): Promise<Slot> {
    const outside = await openOutside(kind);
    const world = await TestWorld.open({ folder: outside.folder, subnet: outside.subnet });
    const slot = new Slot(workers, outside, world, await CutProxy.open(world.test.url));
    await slot.#open(slot.#survivor, world.test.url);
    return slot;
  }

  /** Which points a scenario passes, forth, and back from a late failure. */
  async explore(scenario: Scenario): Promise<Passage> {
    const victim = await this.#freshVictim();
    const forth = await this.#passed(scenario, [], victim);
    const lastStep = forth.findLast(({ flow, step }) => flow === scenario.flow && step !== END)?.step ?? '';
    const back = await this.#passed(scenario, [lateFailure(scenario, lastStep)], victim);
    return { scenario, lastStep, forth, back };
  }

  /** Close it when the cell has failed: what was left would be blamed on the next one. */
  async run(cell: Cell): Promise<Outcome> {
    const startedAt = performance.now();
    let faults: readonly string[];
    try {
      faults = await this.#run(cell);
    } catch (error) {
      faults = [error instanceof Error ? error.message : String(error)];
    }
    const victim = this.#victim;
    const all = [...faults, ...(victim?.complaints ?? []), ...this.#survivor.complaints];
    const logs = all.length > 0 ? [`victim: ${victim?.log}`, `survivor: ${this.#survivor.log}`] : [];
    return { cell, faults: [...all, ...logs], settledMs: performance.now() - startedAt };
  }

  async close(): Promise<void> {
    await Promise.all([this.#victim?.end(), this.#survivor.end()]);
    this.#proxy.close();
    await this.#world.close();
    await this.#outside.close();
  }

  async #passed(scenario: Scenario, traps: readonly Trap[], victim: WorkerProcess) {
    await victim.tell.run();
    const known = { ...(await scenario.prepare?.(this.#world)) };
    await victim.tell.rest();
    await victim.tell.arm(traps);
    Object.assign(known, await scenario.start(this.#world, known));
    await victim.tell.run();
    await this.#idle();
    const seen = await victim.tell.seen();
    const faults = await this.#look(scenario, known, traps.length > 0 ? 'failed' : 'succeeded');
    if (faults.length > 0) throw new Error(`${scenario.flow}: ${faults.join(' ')} ${victim.log}`);
    await victim.tell.rest();
    return seen;
  }

  async #run({ scenario, fault, point, traps, ends }: Cell): Promise<string[]> {
    const world = this.#world;
    const victim = await this.#freshVictim();
    await victim.tell.run();
    const known = { ...(await scenario.prepare?.(world)) };
    await victim.tell.rest();
    await victim.tell.arm([{ ...point, act: ACTS[fault] }, ...traps]);
    Object.assign(known, await scenario.start(world, known));
    const trapped = victim.nextTrap();
    await victim.tell.run();
    if (fault === 'fail') {
      await this.#idle();
      const seen = await victim.tell.seen();
      if (!seen.some((one) => keyOf(one) === keyOf(point))) return ['The point was not reached.'];
    } else {
      const reached = await Promise.race([trapped.then(() => true), sleep(LIMIT_MS, false)]);
      if (!reached) return ['The point was not reached.'];
      await this.#strike(fault, point.flow, victim, known);
    }
    if (fault === 'kill') await victim.end();
    else await victim.tell.rest();
    if (fault === 'fail') await this.#survivor.tell.run();
    const faults = await this.#look(scenario, known, ends);
    await this.#survivor.tell.rest();
    return faults;
  }

  /** Does to the trapped worker what the fault says, and waits until its flow and all that follows have ended. */
  async #strike(fault: Fault, flow: string, victim: WorkerProcess, { lb = '' }: Known): Promise<void> {
    if (fault === 'cut') this.#proxy.cut();
    if (fault === 'stop' || fault === 'sleep') await this.#until('a stop', async () => victim.isStopped);
    const epoch = await this.#epoch(flow);
    await this.#survivor.tell.run();
    if (fault === 'blip') await this.#world.test.cutConnections();
    if (fault === 'delete') await this.#world.delete(lb);
    if (fault === 'failover') {
      await this.#world.db.transaction((tx) => this.#world.flows.start(tx, failoverLoadBalancer(lb, requester)));
    }
    if (ACTS[fault] === 'hold') await victim.tell.goOn();
    if (fault === 'stop') {
      await this.#until('a takeover', async () => (await this.#epoch(flow)) > epoch);
      victim.wake();
    }
    await this.#idle();
    if (fault === 'sleep') victim.wake();
    if (fault === 'cut') this.#proxy.mend();
  }

  /** Looks at the end, repairs what failed, deletes everything, and looks at each step of that. */
  async #look(scenario: Scenario, known: Known, ends: Cell['ends']): Promise<string[]> {
    const { excused = [] } = scenario;
    const faults: string[] = [];
    const status = await scenario.status(this.#world, known);
    const expected = { failed: scenario.failed, succeeded: [scenario.succeeded], deleted: ['DELETED'] }[ends];
    if (!expected.includes(status)) faults.push(`It is ${status} instead of ${expected.join(' or ')}.`);
    const lies = await untruths(this.#looked);
    const isExcused = (lie: string) => ends === 'failed' && excused.some((start) => lie.startsWith(start));
    faults.push(...lies.filter((lie) => !isExcused(lie)));
    if (ends === 'failed') {
      await scenario.repair(this.#world, known);
      await this.#idle();
      const repaired = await scenario.status(this.#world, known);
      if (repaired !== scenario.succeeded) faults.push(`Repaired, it is ${repaired}.`);
      faults.push(...(await untruths(this.#looked)).map((lie) => `Repaired: ${lie}`));
    }
    await this.#deleteAll();
    return [...faults, ...(await leftovers(this.#looked)), ...(await this.#outside.leftovers())];
  }

  async #deleteAll(): Promise<void> {
    const { db, amphorae, flows } = this.#world;
    const all: { id: string }[] = await db.reader.query('SELECT id FROM load_balancer WHERE deleted_at IS NULL');
    for (const { id } of all) await this.#world.delete(id);
    await this.#idle();
    const spares: { id: string }[] = await db.reader.query('SELECT id FROM amphora WHERE deleted_at IS NULL');
    for (const { id } of spares) {
      await db.transaction(async (tx) => {
        await amphorae.setStatus(tx, id, 'PENDING_DELETE');
        await flows.start(tx, deleteAmphora(id, requester));
      });
    }
    await this.#idle();
  }

  async #freshVictim(): Promise<WorkerProcess> {
    if (!this.#victim?.isAlive) {
      this.#victim = this.#workers();
      await this.#open(this.#victim, this.#proxy.through(this.#world.test.url));
    }
    this.#victim.forget();
    this.#survivor.forget();
    return this.#victim;
  }

  async #open(worker: WorkerProcess, databaseUrl: string): Promise<void> {
    const agent = { controllers: [{ host: '127.0.0.1', port: 5555 }], heartbeatKey: 'insecure' };
    await worker.tell.open({ databaseUrl, drivers: this.#outside.drivers, leaseMs: LEASE_MS, agent });
  }

  async #epoch(flow: string): Promise<number> {
    const [row] = await this.#world.db.reader.query('SELECT epoch FROM flow WHERE name = $1 ORDER BY id DESC LIMIT 1', [
      flow,
    ]);
    return row?.epoch ?? 0;
  }

  #idle(): Promise<void> {
    return this.#until('the end of all flows', async () => {
      const open = await this.#world.db.reader.query(`SELECT 1 FROM flow WHERE state IN ('QUEUED', 'RUNNING')`);
      return open.length === 0;
    });
  }

  async #until(what: string, isSo: () => Promise<boolean>): Promise<void> {
    const end = performance.now() + LIMIT_MS;
    // The database breaks connections of ours, too.
    while (!(await isSo().catch(() => false))) {
      if (performance.now() > end) throw new Error(`Not within ${LIMIT_MS} ms: ${what}. ${await this.#open_()}`);
      await sleep(LOOK_MS);
    }
  }

  async #open_(): Promise<string> {
    const { reader } = this.#world.db;
    const flows = await reader.query(
      `SELECT name, state, direction, step, attempt, waiting_for, last_error, epoch, run_at - now() AS due,
         lease_expires_at - now() AS lease FROM flow WHERE state IN ('QUEUED', 'RUNNING')`,
    );
    const sessions = await reader.query(
      `SELECT pid, application_name, state, wait_event, left(query, 80) AS query FROM pg_stat_activity
       WHERE datname = current_database() AND state <> 'idle' AND pid <> pg_backend_pid()`,
    );
    return JSON.stringify({ flows, sessions });
  }
}
