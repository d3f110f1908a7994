import type { Tx } from '@octavia/db';
import type { Amphora, Seat, SeatedAmphora } from '@octavia/domain';
import { Closing, Superseded } from '../engine/flow.ts';
import { type Context, callOf, tellMilestone, type WorkerStep } from '../world.ts';
import { instanceName } from './build-amphora.ts';
import { recordLeft } from './discard-amphora.ts';
import { AWAITS_FENCE, computeIdOf, fenceAmphora, unlessOutOfReach } from './fence-amphora.ts';
import { closeIfAlone, takeOff } from './leave-amphora.ts';

/** Isolates an amphora and deletes its instance. Returns how to forget everything that we keep of it; its row becomes DELETED then. */
async function deleteOne(amphora: Amphora, context: Context): Promise<(tx: Tx) => Promise<void>> {
  const { amphorae, secrets, externalResources } = context;
  const confirmation = await fenceAmphora(amphora, context);
  if (confirmation) {
    await deleteUnreached(amphora, context);
    return async () => {};
  }
  await unplug(amphora, context);
  await deleteInstance(amphora, context);
  return async (tx) => {
    // They travel together.
    await Promise.all([
      secrets.delete(tx, 'amphora_certificate', amphora.id),
      externalResources.forgetAmphora(tx, amphora.id),
      amphorae.setStatus(tx, amphora.id, 'DELETED'),
    ]);
  };
}

/** From all that it served. */
async function unplug({ id: amphoraId, seats }: Amphora, context: Context): Promise<void> {
  for (const { loadBalancerId } of seats)
    await context.network.unplugVip({ loadBalancerId, amphoraId }, callOf(context));
}

async function deleteInstance(amphora: Amphora, context: Context): Promise<void> {
  const computeId = await computeIdOf(amphora, context);
  if (computeId !== null) await context.compute.delete(computeId, callOf(context));
}

/**
 * The same for an amphora that no driver reaches, and that a person has isolated: what cannot be removed is written down and told. The
 * sweep for orphans removes it when it is there again.
 */
async function deleteUnreached(amphora: Amphora, context: Context): Promise<void> {
  const { transaction, amphorae, secrets, externalResources, compute, network, flow, log } = context;
  const { id: amphoraId, seats } = amphora;
  const isPortLeft = (await unlessOutOfReach(amphora, context, (within) => unplug(amphora, within))) !== undefined;
  const isInstanceLeft =
    (await unlessOutOfReach(amphora, context, (within) => deleteInstance(amphora, within))) !== undefined;
  const instance = { kind: 'instance', name: instanceName(amphoraId), driver: compute.name } as const;
  const portOf = ({ loadBalancerId }: Seat) =>
    ({ kind: 'port', name: `${loadBalancerId} ${amphoraId}`, driver: network.name, loadBalancerId }) as const;
  const left = [
    ...(isInstanceLeft ? [{ ...instance, loadBalancerId: seats[0]?.loadBalancerId ?? null }] : []),
    ...(isPortLeft ? seats.map(portOf) : []),
  ];
  await transaction(async (tx) => {
    for (const { loadBalancerId } of left.length > 0 ? seats : []) {
      const kinds = [...new Set(left.map(({ kind }) => kind))].join(', ');
      await tellMilestone(tx, context, 'orphan_left', { loadBalancerId, amphoraId }, { kinds });
    }
    await secrets.delete(tx, 'amphora_certificate', amphoraId);
    await externalResources.forgetAmphora(tx, amphoraId);
    for (const one of left) await externalResources.leave(tx, { ...one, amphoraId, flowId: flow.id });
    await amphorae.setStatus(tx, amphoraId, 'DELETED');
  });
  for (const { kind, name } of left) log.warn({ kind, name }, 'orphan left behind: nobody could reach it');
}

/** Deletes the amphora that the flow is for. */
export const deleteAmphoraInstance: WorkerStep<{ readonly amphoraId: string }> = {
  name: 'delete_amphora',
  awaits: AWAITS_FENCE,
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

/** Deletes every amphora of the load balancer that the flow is for, and takes it off those that serve others. */
export const deleteAllAmphorae: WorkerStep<{ readonly loadBalancerId: string }> = {
  name: 'delete_amphorae',
  awaits: AWAITS_FENCE,
  async do({ loadBalancerId }, context) {
    const all = await context.seats.ofLoadBalancer(context.reader, loadBalancerId);
    const forgotten = await Promise.all(all.map((amphora) => removeFrom(amphora, context)));
    return new Closing(async (tx) => {
      for (const forget of forgotten) await forget(tx);
      return {};
    });
  },
};

/** Takes a load balancer off an amphora, which is deleted when it serves nobody else. */
async function removeFrom(amphora: SeatedAmphora, context: Context): Promise<(tx: Tx) => Promise<void>> {
  const { id: amphoraId, loadBalancerId } = amphora;
  if (await closeIfAlone(amphora, context)) {
    return deleteOne(await context.amphorae.get(context.reader, amphoraId), context);
  }
  await takeOff(amphora, context);
  return (tx) => recordLeft(tx, { amphoraId, loadBalancerId }, context);
}

/** Gives the address back to the network service. The row of the address is settled with the load balancer. */
export const releaseVip: WorkerStep<{ readonly loadBalancerId: string }> = {
  name: 'release_vip',
  async do({ loadBalancerId }, context) {
    await context.network.releaseVip(loadBalancerId, callOf(context));
    return;
  },
};
