import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Something that must not be missing, and what it becomes when it is taken out. */
export interface Mutation {
  readonly name: string;
  readonly file: string;
  /** Each text is there exactly once, or `everywhere` counts them all. */
  readonly changes: readonly { readonly from: string; readonly to: string; readonly everywhere?: boolean }[];
  /** Suites of which one at least has to turn red. */
  readonly suites: readonly Suite[];
}

export interface Suite {
  readonly project: string;
  readonly file: string;
  /** Pattern of the tests' names; absent: all. */
  readonly tests?: string;
  readonly env?: Readonly<Record<string, string>>;
}

const ENGINE: Suite = { project: 'apps/worker', file: 'test/engine.test.ts' };
const FLOW_QUEUE: Suite = { project: 'libs/db', file: 'test/flow-queue.test.ts' };
const FLOWS: Suite = { project: 'apps/worker', file: 'test/flows.test.ts' };
const REFUSALS: Suite = { project: 'apps/worker', file: 'test/refusals.test.ts' };
const FENCES: Suite = { project: 'libs/drivers', file: 'src/fences/epoch-fences.test.ts' };
const DATABASE: Suite = { project: 'libs/db', file: 'test/database.test.ts' };
const INTENT: Suite = { project: 'libs/db', file: 'test/intent.test.ts' };
const SETTLEMENT: Suite = { project: 'libs/db', file: 'test/settlement.test.ts' };
const BUILD_SLOTS: Suite = { project: 'libs/db', file: 'test/build-slots.test.ts' };
const COLOCATION: Suite = { project: 'apps/worker', file: 'test/colocation.test.ts' };
const AGENT: Suite = { project: 'apps/amphora-agent', file: 'test/api.test.ts' };
/** Some cells of the crash matrix: those whose titles match. */
const cells = (like: string): Suite => ({
  project: 'apps/worker',
  file: 'test/matrix/matrix.test.ts',
  env: { MATRIX_LIKE: like, MATRIX_SLOTS: '3' },
});

const QUEUE = 'libs/db/src/flow/flow-queue.ts';

export const MUTATIONS: readonly Mutation[] = [
  {
    name: 'the epoch check of every write',
    file: QUEUE,
    changes: [{ from: 'AND epoch = $2', to: 'AND $2::integer > 0', everywhere: true }],
    suites: [FLOW_QUEUE],
  },
  {
    name: 'the epoch check of what the drivers do',
    file: 'libs/drivers/src/fences/epoch-fences.ts',
    changes: [{ from: 'if (epoch < newest) throw new StaleFence(flowId, epoch, newest);', to: '', everywhere: true }],
    suites: [FENCES, cells('load_balancer.create, plug_vip do call network.plugVip, sleep')],
  },
  {
    name: 'the lease: whoever looks takes the flow',
    file: QUEUE,
    changes: [{ from: "f.state = 'RUNNING' AND f.lease_expires_at <= now()", to: "f.state = 'RUNNING'" }],
    suites: [ENGINE],
  },
  {
    name: 'the lease: nobody renews it',
    file: 'apps/worker/src/engine/lease-keeper.ts',
    changes: [{ from: 'const asked = [...this.#held.values()];', to: 'const asked: Held[] = [];' }],
    suites: [ENGINE],
  },
  {
    name: 'the lease: nobody takes over when it has run out',
    file: QUEUE,
    changes: [{ from: "f.state = 'RUNNING' AND f.lease_expires_at <= now()", to: 'false' }],
    suites: [cells('load_balancer.update, push_configuration do before, kill')],
  },
  {
    name: 'the fence before the VIP moves',
    file: 'apps/worker/src/steps/fence-amphora.ts',
    changes: [{ from: 'if (computeId !== null) await within.compute.fence(computeId, callOf(within));', to: '' }],
    suites: [{ ...FLOWS, tests: 'plugs nothing before it is certain' }],
  },
  {
    name: 'the undo of allocate_amphora',
    file: 'apps/worker/src/steps/allocate-amphora.ts',
    changes: [
      {
        from: 'for (const { id: amphoraId } of taken) await discardSeat(tx, { amphoraId, loadBalancerId }, context);',
        to: 'taken.at(0);',
      },
    ],
    suites: [FLOWS, cells('load_balancer.create, .* undo (before|after), kill')],
  },
  {
    name: 'the undo of reserve_vip',
    file: 'apps/worker/src/steps/reserve-vip.ts',
    changes: [
      { from: 'await context.network.releaseVip(loadBalancerId, callOf(context));', to: 'loadBalancerId.at(0);' },
    ],
    suites: [cells('load_balancer.create, push_configuration do after, fail')],
  },
  {
    name: "the last good configuration's way back, field by field",
    file: 'libs/db/src/settlement/refusals.ts',
    changes: [{ from: 'const written = { ...back, ...(isNewest', to: 'const written = { ...(isNewest' }],
    suites: [REFUSALS],
  },
  {
    name: 'that a half-done flow keeps its turn',
    file: QUEUE,
    changes: [
      {
        from: 'UPDATE turn SET half_done = $2 WHERE key = $1',
        to: 'UPDATE turn SET half_done = NULL WHERE key = $1 AND $2::uuid IS NOT NULL',
      },
    ],
    suites: [ENGINE],
  },
  {
    name: 'that flows of one turn take turns',
    file: QUEUE,
    changes: [{ from: 'AND t.holder IS NULL AND', to: 'AND' }],
    suites: [FLOW_QUEUE],
  },
  {
    name: 'that a running flow hears that it is asked to stop',
    file: 'apps/worker/src/engine/lease-keeper.ts',
    changes: [{ from: 'else if (renewal?.stopRequested) held.onStop(renewal.stopRequested);', to: '' }],
    suites: [ENGINE],
  },
  {
    name: 'the count of build slots',
    file: 'libs/db/src/amphora/build-slots.ts',
    changes: [{ from: 'line.used + line.aheadSlots + slots <= limit', to: 'line.aheadSlots + slots <= limit' }],
    suites: [BUILD_SLOTS],
  },
  {
    name: 'the lock of those who ask for build slots',
    file: 'libs/db/src/amphora/build-slots.ts',
    changes: [{ from: 'SELECT pg_advisory_xact_lock($1)', to: 'SELECT $1::bigint' }],
    suites: [BUILD_SLOTS],
  },
  {
    name: 'the lock of the load balancer while it is changed or settled',
    file: 'libs/db/src/intent/load-balancers.ts',
    changes: [{ from: 'FROM load_balancer WHERE id = $1 FOR UPDATE`', to: 'FROM load_balancer WHERE id = $1`' }],
    suites: [SETTLEMENT],
  },
  {
    name: 'the comparison of what was pushed with what is desired',
    file: 'libs/db/src/settlement/settlement.ts',
    changes: [{ from: 'lb.desiredRevision > target || undecided.length > 0', to: 'undecided.length > 0' }],
    suites: [SETTLEMENT],
  },
  {
    name: "the comparison of a caller's etag",
    file: 'libs/db/src/intent/load-balancers.ts',
    changes: [{ from: "if (etag !== '' && etag !== etagOf(object)) throw new EtagMismatch(object.id);", to: '' }],
    suites: [INTENT],
  },
  {
    name: 'the record of requests that were answered',
    file: 'libs/db/src/intent/idempotency.ts',
    changes: [{ from: 'if (claimed.length > 0) return null;', to: 'if (claimed.length >= 0) return null;' }],
    suites: [INTENT],
  },
  {
    name: 'that an agent does one call at a time',
    file: 'apps/amphora-agent/src/http/queue.ts',
    changes: [{ from: 'this.#last.then(work)', to: 'work()' }],
    suites: [AGENT],
  },
  {
    name: 'that load balancers which share an amphora leave it one by one',
    file: 'apps/worker/src/steps/leave-amphora.ts',
    changes: [{ from: "if (outcome === 'LEFT') return null;", to: '' }],
    suites: [{ ...COLOCATION, tests: 'a failover moves one' }],
  },
  {
    name: 'the second look at an amphora with room, under its lock',
    file: 'libs/db/src/amphora/seats.ts',
    changes: [{ from: 'seats_taken DESC, id LIMIT 1 FOR UPDATE SKIP LOCKED', to: 'seats_taken DESC, id LIMIT 1' }],
    suites: [{ ...COLOCATION, tests: 'beyond its limit' }],
  },
  {
    name: 'the end of transactions whose process was stopped',
    file: 'libs/db/src/core/database.ts',
    changes: [
      { from: 'idle_in_transaction_session_timeout: options.idleInTransactionMs ?? IDLE_IN_TRANSACTION_MS,', to: '' },
    ],
    suites: [DATABASE],
  },
];

/** Returns the mutations that cannot be made any more, a sentence each: what they take out is written in another way by now. */
export function outdatedMutations(root: string): string[] {
  return MUTATIONS.flatMap(({ name, file, changes }) => {
    const text = readFileSync(join(root, file), 'utf8');
    return changes.flatMap(({ from, everywhere = false }) => {
      const count = text.split(from).length - 1;
      const isGood = count === 1 || (count > 1 && everywhere);
      return isGood ? [] : [`tools/checks/src/mutations.ts: "${name}" finds this ${count} times in ${file}: ${from}`];
    });
  });
}
