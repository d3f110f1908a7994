import type { Amphora } from '@octavia/domain';
import { tellMilestone, type WorkerStep } from '../world.ts';
import { fenceAmphora } from './fence-amphora.ts';
import { hasRound, inRound, type RoundsState, roundOf } from './rounds.ts';
import { together } from './together.ts';

/**
 * Makes certain that no amphora that makes room can answer for the VIP any more. Nothing is plugged before that: a dead amphora's
 * network may still answer. There is no way back from it, so it has no undo.
 */
export function fenceOldHolders(round: number): WorkerStep<RoundsState> {
  return {
    name: inRound('fence_old_holders', round),
    isNeeded: hasRound(round),
    async do(state, context) {
      const { loadBalancerId } = state;
      const { transaction, reader, amphorae, waitingFor } = context;
      const { leavers } = roundOf(state, round, await amphorae.ofLoadBalancer(reader, loadBalancerId));
      if (leavers.length === 0) return;
      await waitingFor('old holders of the VIP to be isolated');
      const fence = async (amphora: Amphora): Promise<void> => {
        const startedAt = performance.now();
        await fenceAmphora(amphora, context);
        const ms = Math.round(performance.now() - startedAt);
        const subject = { loadBalancerId, amphoraId: amphora.id };
        await transaction((tx) => tellMilestone(tx, context, 'amphora_fenced', subject, { ms }));
      };
      // Patiently: one that cannot be isolated does not keep the others from it.
      await together(leavers, context, fence, { isPatient: true });
      return;
    },
  };
}
