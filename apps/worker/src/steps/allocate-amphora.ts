import { type AmphoraRole, DomainError, type SeatedAmphora, type Topology } from '@octavia/domain';
import { type Context, callOf, endpointOf, type WorkerStep } from '../world.ts';
import { agentConfigOf } from './agent-config.ts';
import { answers } from './answers.ts';
import { chooseAmphora } from './choose-amphora.ts';
import { discardSeat } from './discard-amphora.ts';
import type { RoundsState } from './rounds.ts';
import { together } from './together.ts';

/** Gives the load balancer spares that answer, or records amphorae that are to be built: one for each role, at the same time. */
export const allocateAmphorae: WorkerStep<RoundsState> = {
  name: 'allocate_amphorae',
  async do(state, context) {
    const given = await together(state.rounds.flat(), context, async (role, limited) => {
      const { id, choice } = await allocate(state, role, limited);
      return { id, role, choice };
    });
    return {
      newAmphorae: given.map(({ id, role }) => ({ id, role })),
      choices: given.flatMap(({ id, choice }) => (choice ? [{ amphoraId: id, ...choice }] : [])),
    };
  },
  // By load balancer: a `do` that was cut off may have taken one that is in no saved state.
  async undo({ loadBalancerId, oldAmphoraIds, settledIds = [] }, context) {
    await context.transaction(async (tx) => {
      await context.loadBalancers.lock(tx, loadBalancerId);
      const all = await context.seats.ofLoadBalancer(tx, loadBalancerId);
      const taken = all.filter(({ id }) => !oldAmphoraIds.includes(id) && !settledIds.includes(id));
      for (const { id: amphoraId } of taken) await discardSeat(tx, { amphoraId, loadBalancerId }, context);
    });
  },
};

/**
 * Gives the load balancer a spare that answers (ALLOCATED), or records one that is to be built (BOOTING).
 * @param instead id of an amphora that is of no use, and is discarded
 */
export async function allocate(
  state: Pick<RoundsState, 'loadBalancerId' | 'oldAmphoraIds'>,
  role: AmphoraRole,
  context: Context,
  instead?: string,
): Promise<SeatedAmphora> {
  const { loadBalancerId } = state;
  const refused: string[] = [];
  const refuse = (amphoraId: string): Promise<void> => {
    refused.push(amphoraId);
    return context.transaction((tx) => discardSeat(tx, { amphoraId, loadBalancerId }, context));
  };
  if (instead !== undefined) await refuse(instead);
  for (;;) {
    const { amphora, topology } = await take(state, role, refused, context);
    if (amphora.status !== 'ALLOCATED' || (await isReady(amphora, topology, context))) return amphora;
    context.signal.throwIfAborted();
    context.log.warn({ 'octavia.amphora.id': amphora.id }, 'amphora does not answer, taking another');
    await refuse(amphora.id);
  }
}

/** What an earlier try took for the role, else what there is, else a new one. @param refused ids of amphorae that did not answer */
function take(
  { loadBalancerId, oldAmphoraIds }: Pick<RoundsState, 'loadBalancerId' | 'oldAmphoraIds'>,
  role: AmphoraRole,
  refused: readonly string[],
  context: Context,
): Promise<{ amphora: SeatedAmphora; topology: Topology }> {
  const { transaction, loadBalancers, seats } = context;
  return transaction(async (tx) => {
    const lb = await loadBalancers.lock(tx, loadBalancerId);
    if (!lb) throw new Error(`Load balancer ${loadBalancerId} is not there.`);
    const taken = await seats.ofLoadBalancer(tx, loadBalancerId, ['BOOTING', 'ALLOCATED']);
    const mine = taken.find((one) => one.role === role && !oldAmphoraIds.includes(one.id));
    return { amphora: mine ?? (await chooseAmphora(tx, lb, role, refused, context)).amphora, topology: lb.topology };
  });
}

/** Whether the spare answers and its agent knows the topology: it was built before anybody knew for whom. */
async function isReady(spare: SeatedAmphora, topology: Topology, context: Context): Promise<boolean> {
  if (!(await answers(spare, context))) return false;
  if (spare.class.topology === topology) return true;
  const content = agentConfigOf({ id: spare.id, class: { ...spare.class, topology } }, context.settings);
  try {
    await context.amphora.updateAgentConfig(endpointOf(spare), content, callOf(context));
  } catch (error) {
    // Agents of old images cannot be told.
    const isItsFault =
      error instanceof DomainError && (error.kind === 'unavailable' || error.reason === 'NOT_IMPLEMENTED');
    if (!isItsFault || context.signal.aborted) throw error;
    context.log.warn({ 'octavia.amphora.id': spare.id, err: error }, 'spare cannot be told its topology');
    return false;
  }
  await context.transaction((tx) => context.amphorae.update(tx, spare.id, { topology }));
  return true;
}
