import { randomUUID } from 'node:crypto';
import { FailoverCandidates, Leftovers } from '@octavia/db';
import { placementOf } from '@octavia/domain';
import { NOOP_SUBNET } from '@octavia/drivers';
import {
  configureAmphora,
  deleteAmphora,
  type FlowName,
  failoverAmphora,
  failoverLoadBalancer,
  mendAmphora,
  rotateAmphoraCertificate,
  sweepOrphans,
  vacateAmphora,
} from '@octavia/flows';
import { requester, type TestWorld } from '../world.ts';

/** What the parts of a scenario tell each other: ids. */
export type Known = Record<string, string>;

/** How a flow is started and what is true at its end. That rows and the world agree is looked at in any case. */
export interface Scenario {
  readonly flow: FlowName;
  /** Which of several for the same flow. */
  readonly variant?: string;
  /** What is there before. Flows run. */
  prepare?(world: TestWorld): Promise<Known>;
  /** Asks for the flow. Nothing runs yet. */
  start(world: TestWorld, known: Known): Promise<Known | undefined>;
  /** Whether a deletion or a failover of `known.lb` may ask it to stop. */
  readonly isStoppable?: boolean;
  /** Status of what it is about when it has succeeded, and when it has failed for good. */
  readonly succeeded: string;
  readonly failed: readonly string[];
  status(world: TestWorld, known: Known): Promise<string>;
  /** After a failure: asks for what makes it good again; then `status` is `succeeded`. */
  repair(world: TestWorld, known: Known): Promise<void>;
  /** What a failure may leave until it is repaired: the beginnings of such sentences. */
  readonly excused?: readonly string[];
}

/** Enough for any fault here on a busy machine, and far below what a test waits. */
const DEADLINE_MS = 30_000;
const OPTIONS = { deadlineMs: DEADLINE_MS };

/** Of a pair the MASTER and the BACKUP. */
const PAIR = { topology: 'ACTIVE_STANDBY' } as const;

async function serving(world: TestWorld, fields: Parameters<TestWorld['create']>[1] = {}): Promise<Known> {
  const lb = await world.create(DEADLINE_MS, fields);
  const listener = await world.addListener(lb, 80, DEADLINE_MS);
  await world.settled(lb);
  return { lb, listener };
}

/** Several of them are on one amphora. */
const SHARED = { placement: placementOf({ colocation_limit: 3 }, {}) } as const;

/** Beside another one, which has to be served all the time. */
async function servingBeside(world: TestWorld): Promise<Known> {
  const { lb: beside = '' } = await serving(world, SHARED);
  return { ...(await serving(world, SHARED)), beside };
}

const servingPair = (world: TestWorld): Promise<Known> => serving(world, PAIR);

async function servingWithSpare(world: TestWorld): Promise<Known> {
  const known = await serving(world);
  return { ...known, spare: await world.spare() };
}

const ofLoadBalancer = {
  succeeded: 'ACTIVE',
  failed: ['ERROR'],
  status: async (world: TestWorld, { lb = '' }: Known) => (await world.lb(lb)).provisioningStatus,
  async repair(world: TestWorld, { lb = '' }: Known) {
    await world.db.transaction((tx) => world.flows.start(tx, failoverLoadBalancer(lb, requester, OPTIONS)));
  },
} as const;

const created = {
  ...ofLoadBalancer,
  flow: 'load_balancer.create',
  isStoppable: true,
  async start(world: TestWorld) {
    const lb = await world.create(DEADLINE_MS);
    return { lb, listener: await world.addListener(lb, 80, DEADLINE_MS) };
  },
} as const;

async function amphoraStatus(world: TestWorld, { amphora = '' }: Known): Promise<string> {
  return (await world.amphorae.get(world.db.reader, amphora)).status;
}

async function discard(world: TestWorld, { amphora = '' }: Known): Promise<undefined> {
  await world.db.transaction(async (tx) => {
    await world.amphorae.setStatus(tx, amphora, 'PENDING_DELETE');
    await world.flows.start(tx, deleteAmphora(amphora, requester, OPTIONS));
  });
}

async function first(world: TestWorld, { lb = '' }: Known) {
  const [amphora] = await world.serving(lb);
  if (!amphora) throw new Error('Nothing serves.');
  return amphora;
}

async function sweep(world: TestWorld): Promise<undefined> {
  await world.db.transaction((tx) => world.flows.start(tx, sweepOrphans(requester, { ...OPTIONS, graceMs: 0 })));
}

const updated: Scenario = {
  ...ofLoadBalancer,
  flow: 'load_balancer.update',
  isStoppable: true,
  prepare: (world) => serving(world),
  async start(world, { lb = '', listener = '' }) {
    await world.addListener(lb, 81, DEADLINE_MS);
    await world.removeListener(listener);
    return undefined;
  },
};

const deleted: Scenario = {
  ...ofLoadBalancer,
  flow: 'load_balancer.delete',
  succeeded: 'DELETED',
  prepare: (world) => serving(world),
  async start(world, { lb = '' }) {
    await world.delete(lb, OPTIONS);
    return undefined;
  },
  repair: (world, { lb = '' }) => world.delete(lb, OPTIONS),
  // It has its address until it is gone.
  excused: ['an address outside is held for '],
};

const failedOver: Scenario = {
  ...ofLoadBalancer,
  flow: 'load_balancer.failover',
  isStoppable: true,
  prepare: (world) => serving(world),
  start: (world, known) => ofLoadBalancer.repair(world, known).then(() => undefined),
};

const replaced: Scenario = {
  ...ofLoadBalancer,
  flow: 'amphora.failover',
  isStoppable: true,
  variant: 'to a spare',
  prepare: servingWithSpare,
  async start(world, known) {
    await world.fallSilent(await first(world, known));
    return undefined;
  },
};

const beside = { variant: 'beside another', prepare: servingBeside } as const;

/** As health: the amphora of several fell silent. */
async function allFallSilent(world: TestWorld, known: Known): Promise<undefined> {
  const { id } = await first(world, known);
  await world.compute.disturb(id, 'STOPPED');
  await world.db.transaction(async (tx) => {
    const candidates = new FailoverCandidates();
    const all = await candidates.lock(tx, id);
    await candidates.setFault(tx, id, { reason: 'HEARTBEAT_LOST', message: 'silent' });
    for (const { loadBalancerId } of all) {
      await world.flows.start(tx, failoverAmphora(id, loadBalancerId, requester, OPTIONS));
    }
  });
}

/** As housekeeping: whoever is still to leave an amphora. */
async function leaveAll(world: TestWorld): Promise<void> {
  const seats = await new Leftovers().seats(world.db.reader);
  for (const { amphoraId, loadBalancerId } of seats) {
    const flow = vacateAmphora(amphoraId, loadBalancerId, requester, OPTIONS);
    await world.db.transaction((tx) => world.flows.start(tx, flow));
  }
}

/** Of a pair one suffices: the other one, which a change or its new peer could not be told, is mended, and the flow succeeds. */
const ofPairThatServesOn = { variant: 'of a pair', prepare: servingPair, failed: ['ERROR', 'ACTIVE'] } as const;

/** Every flow has one at least: the matrix fails where one is missing. */
export const SCENARIOS: readonly Scenario[] = [
  created,
  { ...created, variant: 'from a spare', prepare: async (world) => ({ spare: await world.spare() }) },
  {
    ...created,
    variant: 'of a pair',
    start: async (world) => {
      const lb = await world.create(DEADLINE_MS, PAIR);
      return { lb, listener: await world.addListener(lb, 80, DEADLINE_MS) };
    },
  },
  {
    ...created,
    variant: 'beside another',
    prepare: async (world) => ({ beside: (await serving(world, SHARED)).lb ?? '' }),
    start: async (world) => {
      const lb = await world.create(DEADLINE_MS, SHARED);
      return { lb, listener: await world.addListener(lb, 80, DEADLINE_MS) };
    },
  },
  updated,
  { ...updated, ...ofPairThatServesOn },
  deleted,
  { ...deleted, variant: 'of a pair', prepare: servingPair },
  { ...deleted, ...beside },
  failedOver,
  { ...failedOver, ...ofPairThatServesOn },
  { ...failedOver, ...beside },
  replaced,
  { ...replaced, ...ofPairThatServesOn },
  {
    ...replaced,
    variant: 'of several',
    prepare: servingBeside,
    start: allFallSilent,
    // Either of the two flows may be the one that is hit.
    isStoppable: false,
    async status(world, { lb = '', beside: other = '' }) {
      const all = await Promise.all([lb, other].map(async (id) => (await world.lb(id)).provisioningStatus));
      return all.find((status) => status !== 'ACTIVE') ?? 'ACTIVE';
    },
    async repair(world, { lb = '', beside: other = '' }) {
      for (const id of [lb, other]) {
        const { provisioningStatus } = await world.lb(id);
        if (provisioningStatus === 'ERROR') await ofLoadBalancer.repair(world, { lb: id });
      }
    },
  },
  {
    ...ofLoadBalancer,
    flow: 'amphora.vacate',
    // It is served elsewhere already.
    failed: ['ACTIVE'],
    prepare: servingBeside,
    start: failedOver.start,
    repair: leaveAll,
    excused: ['load balancer ', 'the VIP of ', 'amphora '],
  },
  {
    flow: 'amphora.create',
    succeeded: 'READY',
    failed: ['DELETED'],
    status: amphoraStatus,
    async start(world) {
      return { amphora: await world.askForSpare(DEADLINE_MS) };
    },
    // Housekeeping asks for another one.
    async repair(world, known) {
      known.amphora = await world.askForSpare(DEADLINE_MS);
    },
  },
  {
    flow: 'amphora.delete',
    succeeded: 'DELETED',
    failed: ['ERROR'],
    status: amphoraStatus,
    prepare: async (world) => ({ amphora: await world.spare() }),
    start: discard,
    repair: discard,
    excused: ['amphora ', 'instance '],
  },
  {
    ...ofLoadBalancer,
    flow: 'amphora.mend',
    // It is replaced then.
    failed: ['ACTIVE'],
    prepare: servingPair,
    async start(world, known) {
      const { id } = await first(world, known);
      const { lb = '' } = known;
      await world.db.transaction((tx) => world.flows.start(tx, mendAmphora(id, lb, requester, OPTIONS)));
      return undefined;
    },
  },
  {
    ...ofLoadBalancer,
    flow: 'amphora.configure',
    failed: ['ACTIVE'],
    prepare: (world) => serving(world),
    async start(world, known) {
      const { id } = await first(world, known);
      const { lb = '' } = known;
      await world.db.transaction((tx) => world.flows.start(tx, configureAmphora(id, lb, requester, OPTIONS)));
      return undefined;
    },
  },
  {
    ...ofLoadBalancer,
    flow: 'amphora.rotate_certificate',
    failed: ['ACTIVE'],
    prepare: (world) => serving(world),
    async start(world, known) {
      const { id } = await first(world, known);
      const { lb = '' } = known;
      await world.db.transaction((tx) => world.flows.start(tx, rotateAmphoraCertificate(id, lb, requester, OPTIONS)));
      return undefined;
    },
  },
  {
    flow: 'orphans.sweep',
    succeeded: 'swept',
    failed: ['swept', 'not swept'],
    async prepare(world) {
      const orphan = randomUUID();
      await world.compute.build({ amphoraId: orphan });
      await world.network.allocateVip({ loadBalancerId: orphan, subnetId: NOOP_SUBNET.id, address: null });
      return { ...(await serving(world)), orphan };
    },
    start: sweep,
    repair: sweep,
    async status(world, { orphan = '' }) {
      const isThere = (await world.compute.list()).some(({ amphoraId }) => amphoraId === orphan);
      return isThere || (await world.network.holdings()).includes(orphan) ? 'not swept' : 'swept';
    },
    excused: ['instance ', 'an address outside '],
  },
];

/** What is also run with real amphorae on this machine: create, push, failover and delete. */
const IN_EARNEST = SCENARIOS.filter(({ flow }) =>
  ['load_balancer.create', 'load_balancer.update', 'load_balancer.failover', 'load_balancer.delete'].includes(flow),
);
export const LOCAL = IN_EARNEST.filter(({ variant }) => variant === undefined);
/** Pairs need networks of their own. */
export const NAMESPACES = IN_EARNEST.filter(({ variant }) => variant === 'of a pair');
