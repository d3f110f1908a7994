import { type Amphora, DomainError, type LoadBalancer, UnsupportedByProvider } from '@octavia/domain';
import { type Context, callOf, endpointOf, type WorkerStep } from '../world.ts';
import { chooseAmphora } from './choose-amphora.ts';
import { discardAmphora } from './discard-amphora.ts';

/** How long a spare may take to answer before another is taken, in milliseconds. A live one answers in a few. */
const SPARE_ANSWERS_WITHIN_MS = 1_500;

export interface AllocateAmphoraState {
  readonly loadBalancerId: string;
  readonly oldAmphoraIds: readonly string[];
  /** The amphora that is to serve the load balancer. */
  readonly newAmphoraId: string;
  readonly isSpare: boolean;
}

/** Gives the load balancer a spare that answers, or records an amphora that is to be built. */
export const allocateAmphora: WorkerStep<AllocateAmphoraState> = {
  name: 'allocate_amphora',
  async do({ loadBalancerId, oldAmphoraIds }, context) {
    const amphora = await allocate(loadBalancerId, oldAmphoraIds, context);
    return { newAmphoraId: amphora.id, isSpare: amphora.status === 'ALLOCATED' };
  },
  // By load balancer: a `do` that was cut off may have taken one that is in no saved state.
  async undo({ loadBalancerId, oldAmphoraIds }, context) {
    await context.transaction(async (tx) => {
      await context.loadBalancers.lock(tx, loadBalancerId);
      const all = await context.amphorae.ofLoadBalancer(tx, loadBalancerId);
      for (const { id } of all) if (!oldAmphoraIds.includes(id)) await discardAmphora(tx, id, context);
    });
  },
};

/**
 * Gives the load balancer a spare that answers (ALLOCATED), or records one that is to be built (BOOTING).
 * @param instead id of an amphora that is of no use, and is discarded
 */
export async function allocate(
  loadBalancerId: string,
  oldAmphoraIds: readonly string[],
  context: Context,
  instead?: string,
): Promise<Amphora> {
  if (instead !== undefined) await context.transaction((tx) => discardAmphora(tx, instead, context));
  for (;;) {
    const amphora = await take(loadBalancerId, oldAmphoraIds, context);
    if (amphora.status !== 'ALLOCATED' || (await answers(amphora, context))) return amphora;
    context.signal.throwIfAborted();
    context.log.warn({ 'octavia.amphora.id': amphora.id }, 'spare does not answer, taking another');
    await context.transaction((tx) => discardAmphora(tx, amphora.id, context));
  }
}

/** What an earlier try took, else a spare, else a new one. */
function take(loadBalancerId: string, old: readonly string[], context: Context): Promise<Amphora> {
  const { transaction, loadBalancers, amphorae } = context;
  return transaction(async (tx) => {
    const lb = await loadBalancers.lock(tx, loadBalancerId);
    if (!lb) throw new Error(`Load balancer ${loadBalancerId} is not there.`);
    assertSupported(lb);
    const taken = await amphorae.ofLoadBalancer(tx, loadBalancerId, ['BOOTING', 'ALLOCATED']);
    const mine = taken.find(({ id }) => !old.includes(id));
    if (mine) return mine;
    return (await chooseAmphora(tx, lb, 'STANDALONE', context)).amphora;
  });
}

/** One amphora per load balancer, so far. */
function assertSupported({ topology }: LoadBalancer): void {
  if (topology !== 'SINGLE') throw new UnsupportedByProvider('topology', topology);
}

async function answers(spare: Amphora, context: Context): Promise<boolean> {
  const limit = AbortSignal.timeout(SPARE_ANSWERS_WITHIN_MS);
  const signal = AbortSignal.any([limit, context.signal]);
  try {
    await context.amphora.getFacts(endpointOf(spare), { ...callOf(context), signal });
    return true;
  } catch (error) {
    if (context.signal.aborted) throw error;
    if (limit.aborted || (error instanceof DomainError && error.kind === 'unavailable')) return false;
    throw error;
  }
}
