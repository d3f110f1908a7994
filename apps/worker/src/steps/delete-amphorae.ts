import type { Tx } from '@octavia/db';
import type { Amphora } from '@octavia/domain';
import { Closing, Superseded } from '../engine/flow.ts';
import { type Context, callOf, type WorkerStep } from '../world.ts';
import { computeIdOf, fenceAmphora } from './fence-amphora.ts';

/** Isolates an amphora and deletes its instance. Returns how to forget everything that we keep of it; its row becomes DELETED then. */
async function deleteOne(amphora: Amphora, context: Context): Promise<(tx: Tx) => Promise<void>> {
  const { amphorae, compute, network, secrets, externalResources } = context;
  await fenceAmphora(amphora, context);
  const { id: amphoraId, loadBalancerId } = amphora;
  if (loadBalancerId !== null) await network.unplugVip({ loadBalancerId, amphoraId }, callOf(context));
  const computeId = await computeIdOf(amphora, context);
  if (computeId !== null) await compute.delete(computeId, callOf(context));
  return async (tx) => {
    // They travel together.
    await Promise.all([
      secrets.delete(tx, 'amphora_certificate', amphoraId),
      externalResources.forgetAmphora(tx, amphoraId),
      amphorae.setStatus(tx, amphoraId, 'DELETED'),
    ]);
  };
}

/** Deletes the amphora that the flow is for. */
export const deleteAmphoraInstance: WorkerStep<{ readonly amphoraId: string }> = {
  name: 'delete_amphora',
  async do({ amphoraId }, context) {
    const seen = await context.amphorae.get(context.reader, amphoraId);
    if (seen.status === 'DELETED') return;
    // There is no way back from PENDING_DELETE, so that needs no lock.
    const amphora = seen.status === 'PENDING_DELETE' ? seen : await mark(amphoraId, context);
    const forget = await deleteOne(amphora, context);
    return new Closing(async (tx) => {
      await forget(tx);
      return {};
    });
  },
};

/** @throws Superseded when somebody has taken it */
function mark(amphoraId: string, { transaction, amphorae }: Context): Promise<Amphora> {
  return transaction(async (tx) => {
    const found = await amphorae.get(tx, amphoraId, { lock: true });
    if (found.status === 'ALLOCATED') throw new Superseded(`Amphora ${amphoraId} serves a load balancer.`);
    if (found.status !== 'DELETED') await amphorae.setStatus(tx, amphoraId, 'PENDING_DELETE');
    return found;
  });
}

/** Deletes every amphora of the load balancer that the flow is for. */
export const deleteAllAmphorae: WorkerStep<{ readonly loadBalancerId: string }> = {
  name: 'delete_amphorae',
  async do({ loadBalancerId }, context) {
    const all = await context.amphorae.ofLoadBalancer(context.reader, loadBalancerId);
    const forgotten = await Promise.all(all.map((amphora) => deleteOne(amphora, context)));
    return new Closing(async (tx) => {
      for (const forget of forgotten) await forget(tx);
      return {};
    });
  },
};

/** Gives the address back to the network service. The row of the address is settled with the load balancer. */
export const releaseVip: WorkerStep<{ readonly loadBalancerId: string }> = {
  name: 'release_vip',
  async do({ loadBalancerId }, context) {
    await context.network.releaseVip(loadBalancerId, callOf(context));
    return;
  },
};
