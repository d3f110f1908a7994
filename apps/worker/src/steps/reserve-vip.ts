import { Closing } from '../engine/flow.ts';
import { callOf, type WorkerStep } from '../world.ts';

export interface VipState {
  readonly loadBalancerId: string;
  readonly vip: { address: string; subnetId: string; networkId: string; portId: string | null };
}

/** Finds or reserves the address that clients connect to, and keeps it. A new load balancer gives it back when its creation fails. */
export const reserveVip: WorkerStep<VipState> = {
  name: 'reserve_vip',
  async do({ loadBalancerId }, context) {
    const { reader, loadBalancers, network } = context;
    const { vip: asked } = await loadBalancers.get(reader, loadBalancerId, null);
    const request = { loadBalancerId, subnetId: asked.subnetId, address: asked.address };
    const vip = { ...(await network.allocateVip(request, callOf(context))) };
    const isKnown =
      asked.address === vip.address && asked.networkId !== null && (vip.portId === null || asked.portId !== null);
    if (isKnown) return { vip };
    return new Closing(async (tx) => {
      await loadBalancers.setVip(tx, loadBalancerId, vip);
      return { vip };
    });
  },
  async undo({ loadBalancerId }, context) {
    await context.network.releaseVip(loadBalancerId, callOf(context));
  },
};

/** The same for a load balancer that has served: its address stays its own, whatever happens. */
export const findVip: WorkerStep<VipState> = { name: 'find_vip', do: reserveVip.do };
