import type { VipNetwork } from '@octavia/render';
import { Closing } from '../engine/flow.ts';
import { type Context, callOf, endpointOf, type WorkerStep } from '../world.ts';
import { hasPairRound, inRound, type RoundsState, roundOf } from './rounds.ts';
import { together } from './together.ts';
import { treeOf, uploadVrrp } from './vrrp.ts';

export interface VrrpState extends RoundsState {
  /** Where the VIP is. */
  readonly vipNetwork: VipNetwork;
}

/**
 * Gives the amphorae that come in a round their keepalived configuration, with the other one of the pair as peer. It is not started yet:
 * keepalived of the other one listens to peers alone that it knows, and a comer that hears nobody would take the VIP.
 */
export function configureVrrp(round: number): WorkerStep<VrrpState> {
  return {
    name: inRound('configure_vrrp', round),
    isNeeded: hasPairRound(round),
    async do(state, context) {
      const { comers, members } = await membersOf(state, round, context);
      const tree = await treeOf(state.loadBalancerId, context);
      const interfaces = await together(comers, context, async (amphora, limited) => ({
        id: amphora.id,
        vrrpInterface: await uploadVrrp(amphora, members, { tree, vipNetwork: state.vipNetwork }, limited),
      }));
      return new Closing(async (tx) => {
        for (const { id: amphoraId, vrrpInterface } of interfaces) {
          await context.seats.update(tx, { amphoraId, loadBalancerId: state.loadBalancerId }, { vrrpInterface });
        }
        return {};
      });
    },
  };
}

/** Lets the amphorae that come in a round decide with the other one who answers for the VIP. */
export function startVrrp(round: number): WorkerStep<RoundsState> {
  return {
    name: inRound('start_vrrp', round),
    isNeeded: hasPairRound(round),
    async do(state, context) {
      const { comers } = await membersOf(state, round, context);
      await together(comers, context, (amphora, limited) =>
        context.amphora.startVrrp(endpointOf(amphora), callOf(limited)),
      );
      return;
    },
  };
}

async function membersOf(state: RoundsState, round: number, { seats, reader }: Context) {
  const { comers, stayers } = roundOf(state, round, await seats.ofLoadBalancer(reader, state.loadBalancerId));
  return { comers, members: [...comers, ...stayers] };
}
