import type { Amphora } from '@octavia/domain';
import { Superseded } from '../engine/flow.ts';
import { type Context, callOf, type WorkerStep } from '../world.ts';
import { computeIdOf, fenceAmphora } from './fence-amphora.ts';

/** Isolates an amphora, deletes its instance and everything that we keep of it. Its row becomes DELETED. */
async function deleteOne(amphora: Amphora, context: Context): Promise<void> {
  const { transaction, amphorae, compute, network, secrets, externalResources } = context;
  await fenceAmphora(amphora, context);
  const { id: amphoraId, loadBalancerId } = amphora;
  if (loadBalancerId !== null) await network.unplugVip({ loadBalancerId, amphoraId }, callOf(context));
  const computeId = await computeIdOf(amphora, context);
  if (computeId !== null) await compute.delete(computeId, callOf(context));
  await transaction(async (tx) => {
    await secrets.delete(tx, 'amphora_certificate', amphoraId);
    await externalResources.forgetAmphora(tx, amphoraId);
    await amphorae.setStatus(tx, amphoraId, 'DELETED');
  });
}

/** Deletes the amphora that the flow is for. */
export const deleteAmphoraInstance: WorkerStep<{ readonly amphoraId: string }> = {
  name: 'delete_amphora',
  async do({ amphoraId }, context) {
    const amphora = await context.transaction(async (tx) => {
      const found = await context.amphorae.get(tx, amphoraId, { lock: true });
      if (found.status === 'ALLOCATED') throw new Superseded(`Amphora ${amphoraId} serves a load balancer.`);
      if (found.status !== 'PENDING_DELETE' && found.status !== 'DELETED') {
        await context.amphorae.setStatus(tx, amphoraId, 'PENDING_DELETE');
      }
      return found;
    });
    if (amphora.status !== 'DELETED') await deleteOne(amphora, context);
    return;
  },
};

/** Deletes every amphora of the load balancer that the flow is for. */
export const deleteAllAmphorae: WorkerStep<{ readonly loadBalancerId: string }> = {
  name: 'delete_amphorae',
  async do({ loadBalancerId }, context) {
    const all = await context.amphorae.ofLoadBalancer(context.reader, loadBalancerId);
    await Promise.all(all.map((amphora) => deleteOne(amphora, context)));
    return;
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
