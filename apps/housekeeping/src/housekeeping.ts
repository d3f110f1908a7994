import {
  AgentConfigs,
  AMPHORA_CHANNEL,
  Amphorae,
  type Database,
  Duties,
  ExpiringCertificates,
  Flows,
  Leftovers,
  Purges,
  Spares,
  type Stranded,
  type Tx,
} from '@octavia/db';
import {
  configureAmphora,
  createLoadBalancer,
  deleteAmphora,
  deleteLoadBalancer,
  type Requester,
  sweepOrphans,
  updateLoadBalancer,
  vacateAmphora,
} from '@octavia/flows';
import { ATTR, type Logger, Loop, type Part } from '@octavia/service';
import { v7 as uuidv7 } from 'uuid';
import { CertificateRotation } from './certificate-rotation.ts';
import type { HousekeepingConfig } from './config.ts';
import { type Duty, DutyRound } from './duty-round.ts';
import { HousekeepingMetrics } from './metrics.ts';
import { ClassSparePool } from './spare-pool.ts';

export interface HousekeepingOptions {
  readonly db: Database;
  readonly log: Logger;
  readonly config: Omit<HousekeepingConfig, 'database' | 'grpc' | 'process'>;
}

/** Rows of one table that go in one transaction: short enough to be in nobody's way. */
const PURGE_BATCH = 500;
/** Such transactions for one table in one round. */
const PURGE_BATCHES = 20;
/** Time between two searches for rows whose owner is gone: they compare whole tables. */
const LEFTOVERS_MS = 600_000;
/** Between two rounds, ms, also when amphorae change all the time: a storm of them costs a few rounds, not one each. */
const REST_MS = 200;
/** What a change of an amphora may concern. */
const OF_AMPHORAE = ['spare_pool', 'deletions'];

/** Watches, and starts flows: spares, deletions, load balancers that nobody works on, and what is too old. */
export class Housekeeping {
  readonly #options: HousekeepingOptions;
  readonly #duties = new Duties();
  readonly #flows = new Flows();
  readonly #leftovers = new Leftovers();
  readonly #purges = new Purges();
  readonly #agentConfigs = new AgentConfigs();
  readonly #pool: ClassSparePool;
  readonly #certificates: CertificateRotation;
  readonly #round: DutyRound;
  readonly #loop: Loop;
  readonly #metrics = new HousekeepingMetrics();
  #isHurried = false;
  #unlisten = (): void => {};

  constructor(options: HousekeepingOptions) {
    const { db, log, config } = options;
    this.#options = options;
    this.#pool = new ClassSparePool(
      { ...config.spares, flowDeadlineMs: config.flowDeadlineMs },
      { amphorae: new Amphorae(), spares: new Spares(), flows: this.#flows },
    );
    this.#certificates = new CertificateRotation({
      db,
      log,
      bufferMs: config.certificates.bufferMs,
      flowDeadlineMs: config.flowDeadlineMs,
      certificates: new ExpiringCertificates(),
      flows: this.#flows,
    });
    this.#round = new DutyRound({ db, duties: this.#duties, log });
    this.#loop = new Loop({
      name: 'duties',
      everyMs: config.intervalMs,
      restMs: REST_MS,
      work: () => this.round(),
      log,
    });
  }

  /** What runs, in the order of starting. */
  get parts(): Part[] {
    return [this.#listening(), this.#loop];
  }

  /** Every duty that is due. */
  async round(): Promise<void> {
    const { db } = this.#options;
    if (this.#isHurried) {
      this.#isHurried = false;
      await this.#duties.hurry(db.reader, OF_AMPHORAE);
    }
    for (const duty of this.duties) await this.#round.run(duty);
  }

  get duties(): Duty[] {
    const { intervalMs, cleanupIntervalMs, certificates, orphans } = this.#options.config;
    // A little less than the interval, so that a round never comes just too early.
    const everyRound = Math.floor(intervalMs * 0.9);
    return [
      { name: 'spare_pool', everyMs: everyRound, work: (taken) => this.#balance(taken) },
      { name: 'deletions', everyMs: everyRound, work: () => this.#delete() },
      { name: 'stranded_load_balancers', everyMs: everyRound, work: () => this.#resettle() },
      { name: 'certificates', everyMs: certificates.intervalMs, work: () => this.#certificates.rotate() },
      { name: 'agent_settings', everyMs: everyRound, work: () => this.#configure() },
      { name: 'orphans', everyMs: orphans.intervalMs, work: () => this.#sweep() },
      { name: 'purge', everyMs: Math.floor(cleanupIntervalMs * 0.9), work: () => this.#purge(this.#purges.aged) },
      { name: 'purge_leftovers', everyMs: LEFTOVERS_MS, work: () => this.#purge(this.#purges.leftovers) },
    ];
  }

  /** A spare was taken, or something is to be deleted: the next round is now, in whichever instance comes first. */
  hurry(): void {
    this.#isHurried = true;
    this.#loop.wake();
  }

  async #balance(taken: Parameters<Duty['work']>[0]): Promise<void> {
    const { db, log } = this.#options;
    const { created, removed } = await db.transaction((tx) => this.#pool.balance(tx, this.#duties, taken));
    if (created.length > 0 || removed.length > 0) log.info({ created, removed }, 'spare pool was brought to its size');
  }

  async #delete(): Promise<void> {
    const { db, log, config } = this.#options;
    for (const { id, projectId } of await this.#leftovers.amphorae(db.reader)) {
      const isTaken = await db.transaction(async (tx) => {
        if (!(await this.#leftovers.take(tx, id))) return false;
        await this.#flows.start(tx, deleteAmphora(id, requester(projectId), { deadlineMs: config.flowDeadlineMs }));
        return true;
      });
      if (isTaken) log.info({ [ATTR.AMPHORA_ID]: id }, 'amphora that nobody needs is deleted');
    }
    for (const { projectId, ...seat } of await this.#leftovers.seats(db.reader)) {
      const { amphoraId, loadBalancerId } = seat;
      const options = { deadlineMs: config.flowDeadlineMs };
      const isTaken = await db.transaction(async (tx) => {
        if (!(await this.#leftovers.isLeaving(tx, seat))) return false;
        await this.#flows.start(tx, vacateAmphora(amphoraId, loadBalancerId, requester(projectId), options));
        return true;
      });
      const ids = { [ATTR.AMPHORA_ID]: amphoraId, [ATTR.LOAD_BALANCER_ID]: loadBalancerId };
      if (isTaken) log.info(ids, 'load balancer is taken off an amphora that it was to leave');
    }
  }

  async #resettle(): Promise<void> {
    const { db, log } = this.#options;
    for (const id of await this.#leftovers.loadBalancers(db.reader)) {
      const stranded = await db.transaction(async (tx) => {
        const found = await this.#leftovers.lockStranded(tx, id);
        if (found) await this.#start(tx, found);
        return found;
      });
      if (!stranded) continue;
      this.#metrics.resettled.add(1);
      log.error(
        { [ATTR.LOAD_BALANCER_ID]: id, status: stranded.provisioningStatus },
        'load balancer was pending without a flow',
      );
    }
  }

  async #start(tx: Tx, { id, projectId, provisioningStatus }: Stranded): Promise<void> {
    const options = { deadlineMs: this.#options.config.flowDeadlineMs };
    const asking = requester(projectId);
    if (provisioningStatus === 'PENDING_CREATE') await this.#flows.start(tx, createLoadBalancer(id, asking, options));
    else if (provisioningStatus === 'PENDING_DELETE')
      await this.#flows.start(tx, deleteLoadBalancer(id, asking, options));
    else await this.#flows.ensurePush(tx, updateLoadBalancer(id, asking, options));
  }

  /** Agents that were told another heartbeat key, interval or list of controllers than the workers' settings are now. */
  async #configure(): Promise<void> {
    const { db, log, config } = this.#options;
    const options = { deadlineMs: config.flowDeadlineMs };
    for (const { amphoraId, loadBalancerId, projectId } of await this.#agentConfigs.due(db.reader)) {
      const flow = configureAmphora(amphoraId, loadBalancerId, requester(projectId), options);
      await db.transaction((tx) => this.#flows.start(tx, flow));
      log.info({ [ATTR.AMPHORA_ID]: amphoraId }, 'agent is told the new settings');
    }
  }

  async #sweep(): Promise<void> {
    const { db, config } = this.#options;
    const options = { deadlineMs: config.flowDeadlineMs, graceMs: config.orphans.graceMs };
    await db.transaction(async (tx) => {
      const sweep = sweepOrphans(requester('octavia'), options);
      // One that waits or runs finds the same.
      if ((await this.#flows.open(tx, sweep.turnKey)).length === 0) await this.#flows.start(tx, sweep);
    });
  }

  async #purge(tables: readonly string[]): Promise<void> {
    const { db, config } = this.#options;
    for (const table of tables) {
      for (let batch = 0; batch < PURGE_BATCHES; batch++) {
        const count = await db.transaction((tx) => this.#purges.purge(tx, table, config.retention, PURGE_BATCH));
        if (count > 0) this.#metrics.purged.add(count, { [ATTR.TABLE]: table });
        if (count < PURGE_BATCH) break;
      }
    }
  }

  #listening(): Part {
    const { db } = this.#options;
    return {
      name: 'notifications of amphorae',
      start: async () => {
        this.#metrics.watch(() => db.reader, {
          wanted: this.#pool.getSpareAmphoraSize(),
          ready: async (tx) => (await this.#pool.getReadySpareAmphoraCount(tx)).ready,
        });
        this.#unlisten = await db.notifications.listen(AMPHORA_CHANNEL, () => this.hurry());
      },
      stop: async () => this.#unlisten(),
    };
  }
}

function requester(projectId: string): Requester {
  return { projectId, userId: 'housekeeping', requestId: uuidv7() };
}
