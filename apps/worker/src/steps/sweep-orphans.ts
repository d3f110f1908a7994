import { InstanceNotFoundError } from '@octavia/drivers';
import { ATTR } from '@octavia/service';
import { Closing } from '../engine/flow.ts';
import { countByKind, findOrphans as find, type Orphan } from '../orphans.ts';
import { type Context, callOf, endpointOf, type WorkerStep } from '../world.ts';

export interface OrphansState {
  /** What is younger is left alone. */
  readonly graceMs: number;
  readonly orphans: readonly Orphan[];
}

/** Compares what the drivers have with the rows, and tells how much of it nobody knows. */
export const findOrphans: WorkerStep<OrphansState> = {
  name: 'find_orphans',
  async do({ graceMs }, context) {
    const { orphans } = await find(context, context.reader, graceMs, callOf(context));
    return new Closing(async (tx) => {
      await context.orphans.note(tx, countByKind(orphans));
      return { orphans };
    });
  },
};

/** Isolates and deletes them. One that resists does not keep the others. */
export const removeOrphans: WorkerStep<OrphansState> = {
  name: 'remove_orphans',
  async do({ orphans }, context) {
    const outcomes = await Promise.allSettled([
      ...onePerAmphora(orphans.filter(({ of }) => of === 'compute')).map((one) => removeFromCompute(one, context)),
      ...orphans.filter(({ of }) => of === 'network').map((one) => removeFromNetwork(one, context)),
      ...orphans.filter(({ of }) => of === 'database').map((one) => forget(one, context)),
    ]);
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
    return;
  },
};

/** Removing one thing of an amphora removes all that it has with that driver; only a link may outlive the rest. */
function onePerAmphora(all: readonly Orphan[]): Orphan[] {
  const seen = new Set<string>();
  const instancesFirst = [...all].sort((a, b) => Number(b.kind === 'instance') - Number(a.kind === 'instance'));
  return instancesFirst.filter(({ amphoraId, kind }) => {
    if (amphoraId === null || kind === 'link') return true;
    return !seen.has(amphoraId) && seen.add(amphoraId);
  });
}

async function removeFromCompute(orphan: Orphan, context: Context): Promise<void> {
  const { compute, transaction, externalResources } = context;
  const { amphoraId, kind, name } = orphan;
  if (kind === 'instance') await compute.fence(name, callOf(context));
  await compute.removeLeftover(orphan, callOf(context));
  if (amphoraId !== null && kind === 'instance') {
    await transaction((tx) => externalResources.forgetAmphora(tx, amphoraId));
  }
  tell(orphan, context);
}

/** Where the amphora lives on for others, its agent is told first: nothing may answer for an address that is given back. */
async function removeFromNetwork(orphan: Orphan, context: Context): Promise<void> {
  const { amphoraId, loadBalancerId } = orphan;
  const amphora = amphoraId === null ? null : await context.amphorae.get(context.reader, amphoraId).catch(() => null);
  if (amphora && loadBalancerId !== null && ['READY', 'ALLOCATED'].includes(amphora.status)) {
    // It may have got the seat since.
    if (amphora.seats.some((seat) => seat.loadBalancerId === loadBalancerId)) return;
    await context.amphora.deleteLoadBalancer(endpointOf(amphora), loadBalancerId, callOf(context));
  }
  await context.network.removeLeftover(orphan, callOf(context));
  tell(orphan, context);
}

/** Forgets what is gone for certain: what nobody can reach stays on the list. */
async function forget(orphan: Orphan, context: Context): Promise<void> {
  const { transaction, orphans, compute, amphorae, reader } = context;
  const { kind, name, amphoraId } = orphan;
  if (kind === 'secret') {
    if (amphoraId !== null) await transaction((tx) => orphans.forgetSecret(tx, name, amphoraId));
    return tell(orphan, context);
  }
  // Its row is purged some days after its deletion, and with it which host had it: what no host has shown by then is gone.
  const amphora = amphoraId === null ? null : await amphorae.get(reader, amphoraId).catch(() => null);
  if (amphora && amphora.status !== 'DELETED') return;
  if (amphora?.computeId) {
    const isGone = await compute.get({ computeId: amphora.computeId }, callOf(context)).then(
      () => false,
      (error: unknown) => error instanceof InstanceNotFoundError,
    );
    if (!isGone) return;
  }
  await transaction((tx) => orphans.forget(tx, kind, name));
  tell(orphan, context);
}

function tell({ side, kind, name, amphoraId, loadBalancerId }: Orphan, { log }: Context): void {
  const ids = {
    ...(amphoraId === null ? {} : { [ATTR.AMPHORA_ID]: amphoraId }),
    ...(loadBalancerId === null ? {} : { [ATTR.LOAD_BALANCER_ID]: loadBalancerId }),
  };
  log.warn({ side, kind, name, ...ids }, 'orphan removed');
}
