import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { type ClaimedFlow, type Database, FLOW_CHANNEL, FLOW_STOP_CHANNEL, FlowQueue, Flows } from '@octavia/db';
import type { Logger, Part } from '@octavia/service';
import type { AnyFlow, GiveUp } from './flow.ts';
import { FlowMetrics, watchQueue } from './flow-metrics.ts';
import { LeaseGone, StopRequested, WorkerStops } from './interruption.ts';
import { LeaseKeeper } from './lease-keeper.ts';
import { FlowRun } from './run-flow.ts';

/** Longest time between two looks into the queue, in milliseconds: notifications may be lost. Source: design, own queue. */
const POLL_MS = 1_000;
/**
 * A flow that has been in one step for longer than this, in milliseconds, waits for something outside: it takes no slot from the others,
 * so that a hundred amphorae that hang hold up nobody else. It costs a timer and a share of a lease renewal.
 */
const SLOW_MS = 1_000;
/** Flows of this process, those that wait included, in multiples of `concurrency`. */
const MOST_WAITING = 10;
/** After an error of the database, in milliseconds. */
const AFTER_ERROR_MS = 200;

export interface FlowLimits {
  /** Silence after which another worker may take a flow over, in milliseconds of the database's clock. */
  readonly leaseMs: number;
  /** Flows at once; those that wait for something outside for longer than a second are not counted, up to ten times as many. */
  readonly concurrency: number;
  /** So many of them are kept for failovers; less than `concurrency`. */
  readonly failoverSlots: number;
  /** How long running steps may go on when the worker stops, in milliseconds. */
  readonly drainMs?: number;
  /** After so long in one step a flow counts as waiting, in milliseconds. Default: 1000. */
  readonly slowMs?: number;
}

export interface FlowRunnerOptions<Parts> {
  readonly db: Database;
  /** With a pool of its own, so that a busy one does not cost leases. */
  readonly leaseDb: Database;
  /** All versions of all flows that this worker runs. Others are left to other workers. */
  readonly definitions: readonly AnyFlow<Parts>[];
  readonly parts: Parts;
  readonly limits: FlowLimits;
  readonly log: Logger;
  /** Default: nothing is pending but the flow. */
  readonly giveUp?: GiveUp;
}

const DEFAULT_DRAIN_MS = 2_000;

interface Running<Parts> {
  readonly run: FlowRun<Parts>;
  readonly isUrgent: boolean;
  readonly ended: Promise<void>;
}

/** Claims flows and runs them. Woken by notifications, by a timer to what comes due next, and by a poll in any case. */
export class FlowRunner<Parts> implements Part {
  readonly name = 'flows';
  readonly #options: FlowRunnerOptions<Parts>;
  readonly #queue = new FlowQueue();
  readonly #leases: LeaseKeeper;
  readonly #metrics = new FlowMetrics();
  readonly #definitions: ReadonlyMap<string, AnyFlow<Parts>>;
  /** Shown to operators as the holder of a lease. */
  readonly #worker = `${hostname()}/${process.pid}/${randomUUID().slice(0, 8)}`;
  readonly #running = new Set<Running<Parts>>();
  readonly #unlisten: (() => void)[] = [];
  #isStopping = false;
  #isWoken = false;
  #wake: () => void = () => {};
  #loop: Promise<void> = Promise.resolve();

  constructor(options: FlowRunnerOptions<Parts>) {
    const { concurrency, failoverSlots, leaseMs } = options.limits;
    if (failoverSlots >= concurrency) throw new Error('The slots kept for failovers must be fewer than all slots.');
    this.#options = options;
    this.#leases = new LeaseKeeper(options.leaseDb, this.#queue, leaseMs);
    this.#definitions = new Map(options.definitions.map((flow) => [keyOf(flow), flow]));
  }

  async start(): Promise<void> {
    const { notifications } = this.#options.db;
    this.#leases.start();
    this.#unlisten.push(
      await notifications.listen(FLOW_CHANNEL, () => this.#look()),
      await notifications.listen(FLOW_STOP_CHANNEL, (flowId) => this.#leases.look(flowId)),
    );
    const names = [...this.#definitions.values()].map(({ name }) => name);
    for (const name of names) this.#metrics.settleFailed(name, 0);
    watchQueue(names, async () => (this.#isStopping ? null : await new Flows().counts(this.#options.db.reader)));
    this.#loop = this.#claimUntilStopped();
  }

  /** Lets running steps go on for a short while, then lets their flows go, so that another worker takes them over at once. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    for (const unlisten of this.#unlisten) unlisten();
    this.#look();
    await this.#loop;
    for (const { run } of this.#running) run.drain();
    const ended = Promise.all([...this.#running].map((one) => one.ended));
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, this.#options.limits.drainMs ?? DEFAULT_DRAIN_MS);
    });
    await Promise.race([ended, late]);
    clearTimeout(timer);
    for (const { run } of this.#running) run.interrupt(new WorkerStops());
    await ended;
    this.#leases.stop();
  }

  #look(): void {
    this.#isWoken = true;
    this.#wake();
  }

  async #claimUntilStopped(): Promise<void> {
    // Told once, not five times a second, however long the database is away.
    let isAway = false;
    while (!this.#isStopping) {
      this.#isWoken = false;
      let waitMs: number;
      try {
        await this.#claimWhatFits();
        if (isAway) this.#options.log.info('can look into the queue again');
        isAway = false;
        waitMs = this.#isWoken ? 0 : ((await this.#queue.nextDue(this.#options.db.reader)) ?? POLL_MS);
      } catch (error) {
        if (!this.#isStopping && !isAway) {
          this.#options.log.warn({ err: error }, 'cannot look into the queue, trying again until it answers');
        }
        isAway = true;
        waitMs = AFTER_ERROR_MS;
      }
      if (!this.#isWoken && !this.#isStopping) await this.#sleep(Math.min(POLL_MS, waitMs + 1));
    }
  }

  async #sleep(ms: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#wake = () => {};
  }

  async #claimWhatFits(): Promise<void> {
    const { limits, db } = this.#options;
    for (;;) {
      const busy = [...this.#running].filter(({ run }) => run.inStepMs < (limits.slowMs ?? SLOW_MS));
      const ordinary = busy.filter(({ isUrgent }) => !isUrgent).length;
      const most = limits.concurrency * MOST_WAITING - this.#running.size;
      const free = Math.min(most, limits.concurrency - busy.length);
      const forOrdinary = limits.concurrency - limits.failoverSlots - ordinary;
      const onlyUrgent = forOrdinary <= 0;
      // All at once: a claim looks at everything that waits.
      const limit = onlyUrgent ? free : Math.min(free, forOrdinary);
      if (this.#isStopping || limit <= 0) return;
      const claimedAt = performance.now();
      const request = {
        worker: this.#worker,
        leaseMs: limits.leaseMs,
        known: [...this.#definitions.values()].map(({ name, version }) => ({ name, version })),
        onlyUrgent,
      };
      const claimed = await this.#queue.claimSeveral(db.reader, request, limit);
      for (const one of claimed) this.#run(one, claimedAt);
      if (claimed.length < limit) return;
    }
  }

  #run(claimed: ClaimedFlow, claimedAt: number): void {
    const definition = this.#definitions.get(keyOf(claimed.flow));
    if (!definition) throw new Error(`A flow was claimed that this worker does not know: ${keyOf(claimed.flow)}.`);
    this.#metrics.claimed(claimed);
    const run = new FlowRun(definition, claimed, {
      giveUp: async () => {},
      ...this.#options,
      queue: this.#queue,
      leases: this.#leases,
      metrics: this.#metrics,
    });
    this.#leases.hold(
      claimed.lease,
      claimedAt,
      () => run.interrupt(new LeaseGone()),
      (reason) => run.interrupt(new StopRequested(reason)),
    );
    const isUrgent = claimed.flow.priority <= 0 || claimed.flow.stopRequested === 'FAILOVER';
    const running: Running<Parts> = {
      run,
      isUrgent,
      ended: run.run().then(() => {
        this.#running.delete(running);
        this.#look();
      }),
    };
    this.#running.add(running);
  }
}

function keyOf({ name, version }: { readonly name: string; readonly version: number }): string {
  return `${name} ${version}`;
}
