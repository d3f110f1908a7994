import { callOf, type WorkerStep } from '../world.ts';

export interface OrphansState {
  /** What is younger is left alone. */
  readonly graceMs: number;
  readonly instances: readonly { readonly amphoraId: string; readonly computeId: string }[];
  /** Load balancers that are not there and have an address none the less. */
  readonly loadBalancerIds: readonly string[];
}

/** Compares what the drivers have with the rows. Rows come first into the world and leave it last, so they are read last. */
export const findOrphans: WorkerStep<OrphansState> = {
  name: 'find_orphans',
  async do({ graceMs }, context) {
    const { compute, network, orphans, reader } = context;
    const isOld = (id: string) => ageMs(id) >= graceMs;
    const instances = (await compute.list(callOf(context))).filter(({ amphoraId }) => isOld(amphoraId));
    const holders = (await network.holdings(callOf(context))).filter(isOld);
    const ids = instances.map(({ amphoraId }) => amphoraId);
    const unknown = new Set(await orphans.unknownAmphorae(reader, ids));
    return {
      instances: instances
        .filter(({ amphoraId }) => unknown.has(amphoraId))
        .map(({ amphoraId, computeId }) => ({ amphoraId, computeId })),
      loadBalancerIds: await orphans.unknownLoadBalancers(reader, holders),
    };
  },
};

/** Isolates and deletes them. One that resists does not keep the others. */
export const removeOrphans: WorkerStep<OrphansState> = {
  name: 'remove_orphans',
  async do({ instances, loadBalancerIds }, context) {
    const { compute, network, log, transaction, externalResources } = context;
    const removed = await Promise.allSettled(
      instances.map(async ({ amphoraId, computeId }) => {
        await compute.fence(computeId, callOf(context));
        await compute.delete(computeId, callOf(context));
        await transaction((tx) => externalResources.forgetAmphora(tx, amphoraId));
        log.warn({ 'octavia.amphora.id': amphoraId }, 'deleted an amphora that the database does not know');
      }),
    );
    for (const outcome of removed) if (outcome.status === 'rejected') throw outcome.reason;
    for (const id of loadBalancerIds) {
      await network.releaseVip(id, callOf(context));
      log.warn({ 'octavia.load_balancer.id': id }, 'gave back the address of a load balancer that is not there');
    }
    return;
  },
};

/** How long ago an id was made: version 7 begins with its time, in milliseconds. Others are old. */
function ageMs(id: string): number {
  const isVersion7 = id[14] === '7';
  return isVersion7 ? Date.now() - Number.parseInt(id.replaceAll('-', '').slice(0, 12), 16) : Number.POSITIVE_INFINITY;
}
