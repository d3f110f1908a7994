import { FLOW_VERSIONS } from '@octavia/flows';
import { deleteAllAmphorae, releaseVip } from '../steps/delete-amphorae.ts';
import type { WorkerFlow } from '../world.ts';

/** Deletes the amphorae, gives the VIP back, then settles: nothing of it is left. It does not stop half-way. */
export const deleteLoadBalancer: WorkerFlow<{ readonly loadBalancerId: string }> = {
  name: 'load_balancer.delete',
  version: FLOW_VERSIONS['load_balancer.delete'],
  steps: [deleteAllAmphorae, releaseVip],
  isStoppable: false,
  async settle(tx, { state, outcome, fault }, { settlement, settings }) {
    if (outcome === 'SUCCEEDED') await settlement.deleted(tx, state.loadBalancerId, settings.vipRestMs);
    else if (fault) {
      const advice = { ...fault, message: `${fault.message} Delete it again to go on.` };
      await settlement.failed(tx, state.loadBalancerId, advice, true);
    }
    return null;
  },
};
