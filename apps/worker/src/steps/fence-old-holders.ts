import { tellMilestone, type WorkerStep } from '../world.ts';
import { AWAITS_FENCE, fenceAmphora } from './fence-amphora.ts';

export interface FenceOldHoldersState {
  readonly loadBalancerId: string;
  readonly newAmphoraId: string;
}

/**
 * Makes certain that no earlier holder of the VIP can answer for it any more. Nothing is plugged before that: a dead amphora's
 * network may still answer. Where no driver can confirm it, it waits for a person who does. There is no way back from it, so it has
 * no undo.
 */
export const fenceOldHolders: WorkerStep<FenceOldHoldersState> = {
  name: 'fence_old_holders',
  awaits: AWAITS_FENCE,
  async do({ loadBalancerId, newAmphoraId }, context) {
    const { transaction, reader, amphorae, waitingFor } = context;
    const all = await amphorae.ofLoadBalancer(reader, loadBalancerId);
    const holders = all.filter(({ id }) => id !== newAmphoraId);
    if (holders.length === 0) return;
    await waitingFor('old holders of the VIP to be isolated');
    await Promise.all(
      holders.map(async (amphora) => {
        const startedAt = performance.now();
        const confirmation = await fenceAmphora(amphora, context);
        const ms = Math.round(performance.now() - startedAt);
        const subject = { loadBalancerId, amphoraId: amphora.id };
        await transaction((tx) =>
          tellMilestone(tx, context, 'amphora_fenced', subject, {
            ms,
            ...(confirmation ? { confirmed_by: confirmation.author } : {}),
          }),
        );
      }),
    );
    return;
  },
};
