import type { SeatedAmphora } from '@octavia/domain';
import { tellMilestone, type WorkerStep } from '../world.ts';
import { AWAITS_FENCE, mayHoldVip } from './fence-amphora.ts';
import { isolate } from './leave-amphora.ts';
import { hasRound, inRound, type RoundsState, roundOf } from './rounds.ts';
import { together } from './together.ts';

/**
 * Makes certain that no amphora that makes room can answer for the VIP any more. Nothing is plugged before that: a dead amphora's
 * network may still answer. Where no driver can confirm it, it waits for a person who does. What never had the VIP is in nobody's way,
 * and is only discarded. There is no way back from a fence, so the step has no undo.
 */
export function fenceOldHolders(round: number): WorkerStep<RoundsState> {
  return {
    name: inRound('fence_old_holders', round),
    isNeeded: hasRound(round),
    awaits: AWAITS_FENCE,
    async do(state, context) {
      const { loadBalancerId } = state;
      const { transaction, reader, seats, waitingFor } = context;
      const { leavers } = roundOf(state, round, await seats.ofLoadBalancer(reader, loadBalancerId));
      const holders = leavers.filter(mayHoldVip);
      if (holders.length === 0) return;
      await waitingFor('old holders of the VIP to be isolated');
      const fence = async (amphora: SeatedAmphora): Promise<void> => {
        const startedAt = performance.now();
        const confirmation = await isolate(amphora, context);
        const ms = Math.round(performance.now() - startedAt);
        const subject = { loadBalancerId, amphoraId: amphora.id };
        const payload = { ms, ...(confirmation ? { confirmed_by: confirmation.author } : {}) };
        await transaction((tx) => tellMilestone(tx, context, 'amphora_fenced', subject, payload));
      };
      // Patiently: one that cannot be isolated does not keep the others from it.
      await together(holders, context, fence, { isPatient: true });
      return;
    },
  };
}
