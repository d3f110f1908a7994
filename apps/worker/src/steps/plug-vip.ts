import { Closing } from '../engine/flow.ts';
import { callOf, endpointOf, tellMilestone, type WorkerStep } from '../world.ts';
import { AWAITS_FENCE, computeIdOf } from './fence-amphora.ts';
import type { VipState } from './reserve-vip.ts';

export interface PlugVipState extends VipState {
  readonly newAmphoraId: string;
}

/** Brings the VIP to the amphora, and tells its agent. Every old holder is isolated by now. */
export const plugVip: WorkerStep<PlugVipState> = {
  name: 'plug_vip',
  awaits: AWAITS_FENCE,
  async do({ loadBalancerId, newAmphoraId, vip }, context) {
    const { reader, amphorae, loadBalancers, network, fenceConfirmations } = context;
    const startedAt = performance.now();
    const found = await amphorae.get(reader, newAmphoraId);
    const computeId = await computeIdOf(found, context);
    if (computeId === null) throw new Error(`Amphora ${newAmphoraId} has no instance.`);
    const { topology } = await loadBalancers.get(reader, loadBalancerId, null);
    const confirmed = await fenceConfirmations.ofLoadBalancer(reader, loadBalancerId);
    const confirmedFences = confirmed.map(({ amphoraId }) => amphoraId);
    const request = { loadBalancerId, amphoraId: newAmphoraId, computeId, vip, topology, confirmedFences };
    const port = await network.plugVip(request, callOf(context));
    await context.amphora.plugVip(endpointOf(found), port, callOf(context));
    const ms = Math.round(performance.now() - startedAt);
    return new Closing(async (tx) => {
      const subject = { loadBalancerId, amphoraId: newAmphoraId };
      await tellMilestone(tx, context, 'vip_plugged', subject, { ms, address: vip.address });
      await amphorae.update(tx, newAmphoraId, {
        vrrpIp: port.vrrpIp,
        haIp: port.vipAddress,
        vrrpPortId: port.vrrpPortId,
      });
      return {};
    });
  },
  async undo({ loadBalancerId, newAmphoraId }, context) {
    await context.network.unplugVip({ loadBalancerId, amphoraId: newAmphoraId }, callOf(context));
  },
};
