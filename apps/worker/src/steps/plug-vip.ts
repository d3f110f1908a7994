import type { Tx } from '@octavia/db';
import type { SeatedAmphora } from '@octavia/domain';
import type { VipPort } from '@octavia/drivers';
import type { VipNetwork } from '@octavia/render';
import { Closing } from '../engine/flow.ts';
import { type Context, callOf, endpointOf, tellMilestone, type WorkerStep } from '../world.ts';
import { AWAITS_FENCE, computeIdOf, mayHoldVip } from './fence-amphora.ts';
import { isolate } from './leave-amphora.ts';
import type { VipState } from './reserve-vip.ts';
import { hasRound, inRound, type RoundsState, roundOf } from './rounds.ts';
import { together } from './together.ts';
import { vipNetworkOf } from './vrrp.ts';

export interface PlugVipState extends VipState, RoundsState {
  /** Where the VIP is. Set for pairs. */
  readonly vipNetwork?: VipNetwork;
}

/** Brings the VIP to the amphorae of a round, and tells their agents. Every old holder is isolated by now. */
export function plugVip(round: number): WorkerStep<PlugVipState> {
  return {
    name: inRound('plug_vip', round),
    isNeeded: hasRound(round),
    awaits: AWAITS_FENCE,
    async do(state, context) {
      const all = await context.seats.ofLoadBalancer(context.reader, state.loadBalancerId);
      const { comers } = roundOf(state, round, all);
      await noteVip(comers, state, context);
      const plugged = await together(comers, context, (amphora, limited) => plug(amphora, state, limited));
      return new Closing(async (tx) => {
        for (const { record } of plugged) await record(tx);
        const [first] = plugged;
        return first && state.topology === 'ACTIVE_STANDBY' ? { vipNetwork: vipNetworkOf(first.port) } : {};
      });
    },
    async undo({ loadBalancerId, newAmphorae, settledIds = [] }, context) {
      const shared = (await context.seats.ofLoadBalancer(context.reader, loadBalancerId)).filter((one) => one.isShared);
      for (const { id: amphoraId } of newAmphorae.filter(({ id }) => !settledIds.includes(id))) {
        const amphora = shared.find(({ id }) => id === amphoraId);
        if (amphora) await isolate(amphora, context);
        else await context.network.unplugVip({ loadBalancerId, amphoraId }, callOf(context));
      }
    },
  };
}

/**
 * Writes down that the amphorae may hold the VIP, before they do. Nothing takes that back, an undo neither: where nothing is plugged
 * (loopback mode), an amphora that was started may answer until it is isolated.
 */
async function noteVip(amphorae: readonly SeatedAmphora[], { vip }: PlugVipState, context: Context): Promise<void> {
  const unnoted = amphorae.filter((amphora) => !mayHoldVip(amphora));
  if (unnoted.length === 0) return;
  await context.transaction(async (tx) => {
    for (const { id: amphoraId, loadBalancerId } of unnoted) {
      await context.seats.update(tx, { amphoraId, loadBalancerId }, { haIp: vip.address });
    }
  });
}

/** Returns what the network told, and what is to be written down. */
async function plug(
  amphora: SeatedAmphora,
  { loadBalancerId, vip, topology }: PlugVipState,
  context: Context,
): Promise<{ readonly port: VipPort; record(tx: Tx): Promise<void> }> {
  const { id: amphoraId } = amphora;
  const startedAt = performance.now();
  const computeId = await computeIdOf(amphora, context);
  if (computeId === null) throw new Error(`Amphora ${amphoraId} has no instance.`);
  const confirmed = await context.fenceConfirmations.ofLoadBalancer(context.reader, loadBalancerId);
  const confirmedFences = confirmed.map((confirmation) => confirmation.amphoraId);
  const request = { loadBalancerId, amphoraId, computeId, vip, topology, confirmedFences };
  const port = await context.network.plugVip(request, callOf(context));
  await context.amphora.plugVip(endpointOf(amphora), port, callOf(context));
  const ms = Math.round(performance.now() - startedAt);
  return {
    port,
    async record(tx) {
      await tellMilestone(tx, context, 'vip_plugged', { loadBalancerId, amphoraId }, { ms, address: vip.address });
      await context.seats.update(
        tx,
        { amphoraId, loadBalancerId },
        { vrrpIp: port.vrrpIp, vrrpPortId: port.vrrpPortId },
      );
    },
  };
}
