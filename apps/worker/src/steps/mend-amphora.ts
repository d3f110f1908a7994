import { AmphoraUnavailable, ConfigurationRefused } from '@octavia/drivers';
import { Closing, Superseded } from '../engine/flow.ts';
import { callOf, type WorkerStep } from '../world.ts';
import { answers } from './answers.ts';
import { computeIdOf } from './fence-amphora.ts';
import { bringUpToDate } from './introduce-comers.ts';
import { recordPush } from './push-configuration.ts';
import { vipNetworkOf } from './vrrp.ts';

/** What one try may take, in milliseconds: changes of the load balancer wait for it. */
const ANSWERS_WITHIN_MS = 500;
const MENDED_WITHIN_MS = 5_000;

export interface MendState {
  readonly loadBalancerId: string;
  readonly amphoraId: string;
}

/** Makes the amphora serve what its load balancer desires, with the other one of the pair as peer. It changes nothing for others. */
export const mendAmphora: WorkerStep<MendState> = {
  name: 'mend_amphora',
  async do({ loadBalancerId, amphoraId }, context) {
    const { reader, seats, loadBalancers, network } = context;
    const members = await seats.ofLoadBalancer(reader, loadBalancerId, ['ALLOCATED']);
    const amphora = members.find(({ id }) => id === amphoraId);
    if (!amphora) throw new Superseded(`Amphora ${amphoraId} has been replaced.`);
    if (!(await answers(amphora, context, ANSWERS_WITHIN_MS))) {
      throw new AmphoraUnavailable(`The agent of amphora ${amphoraId} does not answer.`, { amphoraId });
    }
    const lb = await loadBalancers.get(reader, loadBalancerId, null);
    const { address, subnetId, networkId, portId } = lb.vip;
    const computeId = await computeIdOf(amphora, context);
    if (address === null || networkId === null || computeId === null) {
      throw new Error(`Amphora ${amphoraId} has no VIP yet.`);
    }
    // Asked for again, it tells what it did.
    const vip = { address, subnetId, networkId, portId };
    const plug = { loadBalancerId, amphoraId, computeId, vip, topology: lb.topology };
    const vipNetwork = vipNetworkOf(await network.plugVip(plug, callOf(context)));
    const limit = AbortSignal.timeout(MENDED_WITHIN_MS);
    const limited = { ...context, signal: AbortSignal.any([context.signal, limit]) };
    const outcome = await bringUpToDate(amphora, members, { loadBalancerId, vipNetwork }, limited).catch((error) => {
      // It may be a change that is refused everywhere: the push that settles it tells, and then this one has nothing against it.
      const isRefusal = error instanceof ConfigurationRefused;
      if (!isRefusal && (!limit.aborted || context.signal.aborted)) throw error;
      const why = isRefusal ? error.message : `It was not done within ${MENDED_WITHIN_MS} ms.`;
      throw new AmphoraUnavailable(`Amphora ${amphoraId} cannot be mended yet: ${why}`, { amphoraId });
    });
    return new Closing(async (tx) => {
      await recordPush(tx, { ...outcome, loadBalancerId }, amphora, outcome, context);
      return {};
    });
  },
};
