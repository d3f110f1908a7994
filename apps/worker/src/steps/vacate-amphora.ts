import type { Tx } from '@octavia/db';
import { Closing, Superseded } from '../engine/flow.ts';
import type { Context, WorkerStep } from '../world.ts';
import { discardAmphora, recordLeft } from './discard-amphora.ts';
import { AWAITS_FENCE } from './fence-amphora.ts';
import { takeOff } from './leave-amphora.ts';

export interface VacateState {
  readonly amphoraId: string;
  readonly loadBalancerId: string;
}

/** Takes a load balancer, which makes room, off an amphora that serves others. */
export const vacateAmphora: WorkerStep<VacateState> = {
  name: 'vacate_amphora',
  awaits: AWAITS_FENCE,
  async do(key, context) {
    const { amphorae, seats, reader } = context;
    const { amphoraId } = key;
    const { status, seats: all } = await amphorae.get(reader, amphoraId);
    if (status !== 'ALLOCATED') throw new Superseded(`Amphora ${amphoraId} is ${status} by now.`);
    if (!all.some(({ state }) => state === 'TAKEN')) return new Closing((tx) => goes(tx, amphoraId, context));
    const mine = (await seats.ofLoadBalancer(reader, key.loadBalancerId)).find(({ id }) => id === amphoraId);
    if (!mine) return;
    if (mine.status === 'ALLOCATED') throw new Superseded('The load balancer is served there again.');
    await takeOff(mine, context);
    return new Closing(async (tx) => {
      await recordLeft(tx, key, context);
      return {};
    });
  },
};

/** Nobody needs it any more: it is isolated for good, which needs no agent. */
async function goes(tx: Tx, amphoraId: string, context: Context): Promise<Partial<VacateState>> {
  const { seats } = await context.amphorae.get(tx, amphoraId, { lock: true });
  if (seats.some(({ state }) => state === 'TAKEN')) throw new Superseded(`Amphora ${amphoraId} is needed again.`);
  await discardAmphora(tx, amphoraId, context);
  return {};
}
