import { Closing } from '../engine/flow.ts';
import type { WorkerStep } from '../world.ts';
import { discardAmphora } from './discard-amphora.ts';

export interface RetireOldAmphoraeState {
  readonly loadBalancerId: string;
  readonly newAmphoraId: string;
}

/** Marks the amphorae that were replaced for deletion, and asks for the flows that delete them. */
export const retireOldAmphorae: WorkerStep<RetireOldAmphoraeState> = {
  name: 'retire_old_amphorae',
  async do({ loadBalancerId, newAmphoraId }, context) {
    return new Closing(async (tx) => {
      await context.loadBalancers.lock(tx, loadBalancerId);
      const all = await context.amphorae.ofLoadBalancer(tx, loadBalancerId);
      for (const { id } of all) if (id !== newAmphoraId) await discardAmphora(tx, id, context);
      return {};
    });
  },
};
