import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  Amphorae,
  abandon,
  Database,
  Flows,
  Listeners,
  LoadBalancers,
  Quotas,
  Revisions,
  Seats,
  Subnets,
  Trees,
  VipAddresses,
} from '@octavia/db';
import { type TestDatabase, testDatabase } from '@octavia/db/testing';
import type { LoadBalancer, SeatedAmphora } from '@octavia/domain';
import {
  type Drivers,
  NOOP_SUBNET,
  NoopAmphoraDriver,
  NoopCertificatesDriver,
  NoopComputeDriver,
  NoopNetworkDriver,
  type Subnet,
} from '@octavia/drivers';
import {
  createAmphora,
  createLoadBalancer,
  deleteLoadBalancer,
  failoverAmphora,
  updateLoadBalancer,
} from '@octavia/flows';
import { currentTraceContext } from '@octavia/service';
import { pino } from 'pino';
import { v7 as uuidv7 } from 'uuid';
import { FlowRunner } from '../src/engine/flow-runner.ts';
import { definitions } from '../src/flows/index.ts';
import { openWorld } from '../src/open-world.ts';
import type { AnyWorkerFlow, World } from '../src/world.ts';

export const requester = { projectId: 'project', userId: 'user', requestId: 'request' };
const caller = { author: 'user', requestId: 'request' };
/** As the gateway: with the trace of the request. */
const by = () => ({ ...caller, ...currentTraceContext() });
const CLASS = { computeFlavor: '', imageTag: '', zone: '', topology: 'SINGLE' } as const;
/** Long enough for a few tries, short enough to wait for. */
const MEND_MS = 1_000;
const LIMITS = { leaseMs: 5_000, concurrency: 16, failoverSlots: 4 };

/** A worker over noop drivers and a real database, and what a gateway would write there. */
export class TestWorld {
  readonly test: TestDatabase;
  readonly db: Database;
  readonly #leaseDb: Database;
  readonly compute: NoopComputeDriver;
  readonly network: NoopNetworkDriver;
  /** What the agents say, to their check or at the reload; null: good. */
  refuse: (configuration: string, amphoraId: string, when: 'upload' | 'reload') => string | null = () => null;
  /** The configurations that passed their check, in order. */
  readonly taken: string[] = [];
  readonly amphora: NoopAmphoraDriver;
  readonly certificates = new NoopCertificatesDriver({ isReal: false });
  readonly flows = new Flows();
  readonly amphorae = new Amphorae();
  readonly seats = new Seats();
  readonly #loadBalancers = new LoadBalancers();
  readonly #listeners = new Listeners();
  readonly #revisions = new Revisions();
  #runner: FlowRunner<World> | null = null;
  #isComputeOurs = true;
  /** What the worker said that a person must act on. */
  readonly #complaints: string[] = [];

  /** Where load balancers get their addresses. */
  readonly #subnet: Subnet;

  /** @param folder where other processes find the same outside; null: in this process alone */
  constructor(test: TestDatabase, folder: string | null = null, subnet = NOOP_SUBNET) {
    this.test = test;
    this.#subnet = subnet;
    this.compute = new NoopComputeDriver({ folder });
    // What another compute driver isolated, the noop network does not know.
    const isFenced = async (amphoraId: string) => !this.#isComputeOurs || this.compute.isFenced(amphoraId);
    this.network = new NoopNetworkDriver({ folder, isFenced });
    this.amphora = new NoopAmphoraDriver({ folder, check: (...asked) => this.#check(...asked) });
    this.db = new Database({ url: test.url, applicationName: 'test' });
    this.#leaseDb = new Database({ url: test.url, applicationName: 'test leases', poolSize: 1 });
  }

  /** @param folder as in the constructor @param prepare changes the database before anything uses it */
  static async open({
    folder = null,
    subnet: from = NOOP_SUBNET,
    prepare = async () => {},
  }: {
    readonly folder?: string | null;
    readonly subnet?: Subnet;
    readonly prepare?: (url: string) => Promise<unknown>;
  } = {}): Promise<TestWorld> {
    const test = await testDatabase();
    await prepare(test.url);
    const world = new TestWorld(test, folder, from);
    await Promise.all([world.db.start(), world.#leaseDb.start()]);
    const { vipRange, ...subnet } = from;
    if (vipRange) await world.db.transaction((tx) => new Subnets().upsert(tx, [{ ...subnet, vipRange }]));
    return world;
  }

  #check(configuration: string, amphoraId: string, when: 'upload' | 'reload'): string | null {
    const refusal = this.refuse(configuration, amphoraId, when);
    if (refusal === null && when === 'upload') this.taken.push(configuration);
    return refusal;
  }

  /** @param drivers in the place of the noop ones @param options of the worker */
  async work(
    drivers: Partial<Pick<Drivers, 'compute' | 'network' | 'amphora' | 'certificates'>> = {},
    options: {
      readonly definitions?: readonly AnyWorkerFlow[];
      readonly limits?: Partial<typeof LIMITS>;
      readonly buildSlots?: number | null;
      readonly colocationLimit?: number;
    } = {},
  ): Promise<void> {
    const { compute, network, amphora, certificates } = this;
    this.#isComputeOurs = drivers.compute === undefined;
    this.#runner = new FlowRunner<World>({
      db: this.db,
      leaseDb: this.#leaseDb,
      definitions: options.definitions ?? definitions,
      giveUp: abandon,
      limits: { ...LIMITS, ...options.limits },
      log: pino({ level: 'error' }, { write: (line: string) => this.#complaints.push(line) }),
      parts: openWorld(
        { compute, network, amphora, certificates, ...drivers },
        {
          secretsKeys: `test:${randomBytes(32).toString('base64')}`,
          agent: {
            controllers: [{ host: '127.0.0.1', port: 5555 }],
            heartbeatIntervalMs: 1_000,
            heartbeatKey: 'insecure',
          },
          amphora: { computeFlavor: '', imageTag: '', zone: '' },
          colocationLimit: options.colocationLimit ?? 1,
          buildSlots: options.buildSlots ?? null,
          vipRestMs: 60_000,
          flows: { deadlineMs: 60_000, mendMs: MEND_MS },
        },
      ),
    });
    await this.#runner.start();
  }

  async close(): Promise<void> {
    await this.#runner?.stop();
    await Promise.all([this.db.stop(), this.#leaseDb.stop()]);
    await this.test.drop();
    const bugs = this.#complaints.filter((line) => line.includes('flow engine failed'));
    if (bugs.length > 0) throw new Error(bugs.join(''));
  }

  /** As the gateway: row, address, quota, revision and flow in one transaction. */
  async create(
    deadlineMs = 60_000,
    fields: Partial<Pick<LoadBalancer, 'placement' | 'topology' | 'projectId' | 'apolocationGroup'>> = {},
  ): Promise<string> {
    const id = uuidv7();
    await this.db.transaction(async (tx) => {
      const { id: subnetId, networkId } = this.#subnet;
      const address = await new VipAddresses().allocate(tx, { subnetId, address: null, loadBalancerId: id });
      const lb = await this.#loadBalancers.insert(tx, {
        ...object(id, 1),
        description: '',
        provider: 'amphora',
        flavorId: null,
        availabilityZone: null,
        apolocationGroup: null,
        topology: 'SINGLE',
        vip: { address, subnetId, networkId, portId: null },
        desiredRevision: 1,
        ...fields,
      });
      await new Quotas().reserve(tx, 'project', 'load_balancer', 1, -1);
      await this.#revisions.append(
        tx,
        lb,
        { objectKind: 'load_balancer', objectId: id, action: 'CREATE', changes: {} },
        by(),
      );
      await this.flows.start(tx, createLoadBalancer(id, requester, { deadlineMs }));
    });
    return id;
  }

  async addListener(loadBalancerId: string, port: number, deadlineMs = 60_000): Promise<string> {
    const id = uuidv7();
    await this.db.transaction(async (tx) => {
      const begun = await this.#loadBalancers.begin(tx, 'update', loadBalancerId, null);
      await this.#listeners.insert(tx, {
        ...object(id, begun.desiredRevision),
        loadBalancerId,
        description: '',
        protocol: 'HTTP',
        protocolPort: port,
        connectionLimit: -1,
        defaultPoolId: null,
        insertHeaders: {},
        timeoutClientData: 50_000,
        timeoutMemberConnect: 5_000,
        timeoutMemberData: 50_000,
        timeoutTcpInspect: 0,
      });
      await new Quotas().reserve(tx, 'project', 'listener', 1, -1);
      await this.#revisions.append(
        tx,
        begun,
        { objectKind: 'listener', objectId: id, action: 'CREATE', changes: {} },
        by(),
      );
      await this.flows.ensurePush(tx, updateLoadBalancer(loadBalancerId, requester, { deadlineMs }));
    });
    return id;
  }

  async removeListener(id: string): Promise<void> {
    await this.db.transaction(async (tx) => {
      const { loadBalancer } = await this.#listeners.begin(tx, id, null);
      await this.#listeners.markDeleting(tx, loadBalancer, by(), 'id', id);
      await this.#revisions.append(
        tx,
        loadBalancer,
        { objectKind: 'listener', objectId: id, action: 'DELETE', changes: {} },
        by(),
      );
      await this.flows.ensurePush(tx, updateLoadBalancer(loadBalancer.id, requester));
    });
  }

  async delete(id: string, options: { readonly deadlineMs?: number } = {}): Promise<void> {
    await this.db.transaction(async (tx) => {
      const begun = await this.#loadBalancers.begin(tx, 'delete', id, null);
      await this.#loadBalancers.markChildrenDeleting(tx, begun, by());
      await this.#revisions.append(
        tx,
        begun,
        { objectKind: 'load_balancer', objectId: id, action: 'DELETE', changes: {} },
        by(),
      );
      await this.flows.start(tx, deleteLoadBalancer(id, requester, options));
    });
  }

  /** Lets leases run out while a flow hangs in a step, until another claim has got it over that. */
  async loseWorkerIn(loadBalancerId: string, step: string): Promise<void> {
    const at = async () => (await this.flows.open(this.db.reader, loadBalancerId))[0];
    await this.until(`a flow in ${step}`, async () => (await at())?.step === step);
    await this.until(`a flow beyond ${step}`, async () => {
      await sleep(50);
      await this.db.reader.query(
        `UPDATE flow SET lease_expires_at = now() - interval '1 s' WHERE step = $1 AND state = 'RUNNING'`,
        [step],
      );
      await this.db.reader.query(`SELECT pg_notify('flow', '')`);
      await sleep(100);
      return (await at())?.step !== step;
    });
  }

  /** As health: the amphora fell silent. */
  async fallSilent(amphora: SeatedAmphora): Promise<string> {
    await this.compute.disturb(amphora.id, 'STOPPED');
    const { loadBalancerId } = amphora;
    return this.db.transaction(async (tx) => {
      await this.#loadBalancers.lock(tx, loadBalancerId);
      return this.flows.start(tx, failoverAmphora(amphora.id, loadBalancerId, requester));
    });
  }

  /** Builds a spare and waits until it is ready. */
  async spare(status = 'READY'): Promise<string> {
    const id = await this.askForSpare();
    await this.until('a spare', async () => (await this.amphorae.get(this.db.reader, id)).status === status);
    return id;
  }

  /** As housekeeping: row and flow of a spare. */
  async askForSpare(deadlineMs = 60_000): Promise<string> {
    const id = uuidv7();
    await this.db.transaction(async (tx) => {
      await this.amphorae.insert(tx, { id, projectId: 'project', ...caller, class: CLASS, computeDriver: 'noop' });
      await this.flows.start(tx, createAmphora(id, requester, { deadlineMs }));
    });
    return id;
  }

  async lb(id: string): Promise<LoadBalancer> {
    const tree = await new Trees().read(this.db.reader, id);
    if (!tree) throw new Error(`There is no load balancer ${id}.`);
    return tree.loadBalancer;
  }

  /** Waits until nothing is queued or runs. */
  async idle(): Promise<void> {
    await this.until('the end of all flows', async () => {
      const open = await this.db.reader.query(`SELECT id FROM flow WHERE state IN ('QUEUED', 'RUNNING')`);
      return open.length === 0;
    });
  }

  /** The load balancer as it is when nothing is queued or runs any more. */
  async settled(id: string): Promise<LoadBalancer> {
    await this.idle();
    return this.lb(id);
  }

  async until(what: string, condition: () => Promise<boolean>, limitMs = 30_000): Promise<void> {
    const end = performance.now() + limitMs;
    while (!(await condition())) {
      if (performance.now() > end) {
        const flows = await this.db.reader.query(
          'SELECT name, state, step, attempt, waiting_for, last_error FROM flow',
        );
        throw new Error(`It took too long: ${what}. ${JSON.stringify(flows)}`);
      }
      await sleep(5);
    }
  }

  listener(
    id: string,
  ): Promise<{ provisioning_status: string; fault_reason: string | null; fault_message: string | null }> {
    return this.db.reader
      .query('SELECT provisioning_status, fault_reason, fault_message FROM listener WHERE id = $1', [id])
      .then((rows: never[]) => rows[0] ?? { provisioning_status: 'GONE', fault_reason: null, fault_message: null });
  }

  async serving(id: string): Promise<SeatedAmphora[]> {
    return this.seats.ofLoadBalancer(this.db.reader, id);
  }

  /** What is left outside and in rows, of everything but load balancers. */
  async leftovers(): Promise<Record<string, unknown>> {
    const instances = await this.compute.list();
    const [rows] = await this.db.reader.query(
      `SELECT (SELECT count(*)::integer FROM amphora WHERE deleted_at IS NULL) AS amphorae,
         (SELECT count(*)::integer FROM external_resource) AS resources, (SELECT count(*)::integer FROM secret) AS secrets,
         (SELECT coalesce(sum(in_use), 0)::integer FROM quota) AS quota,
         (SELECT count(*)::integer FROM turn WHERE holder IS NOT NULL OR half_done IS NOT NULL) AS turns`,
    );
    return { ...rows, instances: instances.length };
  }

  pushes(): number {
    return this.amphora.control.calls.filter(({ method }) => method === 'pushHaproxy').length;
  }
}

function object(id: string, revision: number) {
  return {
    id,
    projectId: 'project',
    ...caller,
    name: id,
    adminStateUp: true,
    tags: [],
    provisioningStatus: 'PENDING_CREATE',
    fault: null,
    revision,
    appliedRevision: 0,
  } as const;
}
