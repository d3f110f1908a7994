import { Closing } from '../engine/flow.ts';
import type { WorkerStep } from '../world.ts';
import { discardSeat } from './discard-amphora.ts';
import { hasRound, inRound, type RoundsState, roundOf } from './rounds.ts';

/**
 * Marks the amphorae that were replaced in a round for deletion, and asks for the flows that delete them. From here on nothing takes
 * the new ones back: what comes after may fail, and they serve.
 */
export function retireOldAmphorae(round: number): WorkerStep<RoundsState> {
  return {
    name: inRound('retire_old_amphorae', round),
    isNeeded: hasRound(round),
    async do(state, context) {
      return new Closing(async (tx) => {
        await context.loadBalancers.lock(tx, state.loadBalancerId);
        const all = await context.seats.ofLoadBalancer(tx, state.loadBalancerId);
        const { comers, leavers } = roundOf(state, round, all);
        for (const { id: amphoraId, loadBalancerId } of leavers) {
          await discardSeat(tx, { amphoraId, loadBalancerId }, context);
        }
        return { settledIds: [...(state.settledIds ?? []), ...comers.map(({ id }) => id)] };
      });
    },
  };
}
