import { type AmphoraRole, isBeingDeleted, ROLES, type SeatedAmphora, type Topology } from '@octavia/domain';
import { Closing, Superseded } from '../engine/flow.ts';
import type { Context, WorkerStep } from '../world.ts';
import { answers } from './answers.ts';
import type { RoundsState } from './rounds.ts';

export interface NoteHoldersState extends RoundsState {
  /** The amphora whose failure is the reason; absent: all are to be replaced. */
  readonly amphoraId?: string;
}

/**
 * Remembers which amphorae may carry the VIP, so that the new ones are told from them, also after a crash; and decides which of them
 * serve on, and in which order the others are replaced.
 */
export const noteHolders: WorkerStep<NoteHoldersState> = {
  name: 'note_holders',
  do: ({ loadBalancerId, amphoraId }, context) => note(loadBalancerId, amphoraId, false, context),
};

/**
 * The same for a load balancer that is to get its first amphorae. A failover that was asked for while the creation waited goes before
 * it, and does all of its work: then nothing is left to do.
 */
export const noteNoHolders: WorkerStep<NoteHoldersState> = {
  name: 'note_holders',
  do: ({ loadBalancerId }, context) => note(loadBalancerId, undefined, true, context),
};

async function note(
  loadBalancerId: string,
  amphoraId: string | undefined,
  isNew: boolean,
  context: Context,
): Promise<Closing<Partial<NoteHoldersState>>> {
  const { loadBalancers, seats } = context;
  const silent = amphoraId === undefined ? await silentOf(loadBalancerId, context) : [];
  return new Closing(async (tx) => {
    const lb = await loadBalancers.lock(tx, loadBalancerId);
    if (!lb || isBeingDeleted(lb)) throw new Superseded(`Load balancer ${loadBalancerId} is being deleted.`);
    const old = await seats.ofLoadBalancer(tx, loadBalancerId);
    if (amphoraId !== undefined && !old.some(({ id, status }) => id === amphoraId && status === 'ALLOCATED')) {
      throw new Superseded(`Amphora ${amphoraId} has been replaced.`);
    }
    if (isNew && old.some(({ status }) => status === 'ALLOCATED')) {
      throw new Superseded(`Load balancer ${loadBalancerId} has got its amphorae from a failover.`);
    }
    const survivors = amphoraId === undefined ? [] : survivorsOf(lb.topology, old, amphoraId);
    const isFilled = (role: AmphoraRole) => survivors.some((one) => one.role === role);
    const missing = ROLES[lb.topology].filter((role) => !isFilled(role));
    return {
      topology: lb.topology,
      oldAmphoraIds: old.map(({ id }) => id),
      survivorIds: survivors.map(({ id }) => id),
      rounds: amphoraId === undefined ? replacementOrder(lb.topology, old, silent) : [missing],
    };
  });
}

/** Of a pair, who serves on when one amphora is replaced: one of each other role. */
function survivorsOf(topology: Topology, old: readonly SeatedAmphora[], amphoraId: string): SeatedAmphora[] {
  const failed = old.find(({ id }) => id === amphoraId);
  return ROLES[topology]
    .filter((role) => topology === 'ACTIVE_STANDBY' && role !== failed?.role)
    .flatMap(
      (role) => old.find((one) => one.role === role && one.status === 'ALLOCATED' && one.id !== amphoraId) ?? [],
    );
}

/**
 * Roles in the order in which their amphorae are replaced, by rounds. A pair that serves goes one by one: first who does not answer,
 * then BACKUP, so that traffic moves once. Where nobody serves there is nothing to spare, and all come at once.
 * @param silent ids of the amphorae that do not answer
 */
export function replacementOrder(
  topology: Topology,
  old: readonly Pick<SeatedAmphora, 'id' | 'role' | 'status'>[],
  silent: readonly string[],
): (readonly AmphoraRole[])[] {
  const roles = ROLES[topology];
  const serving = old.filter(({ id, status }) => status === 'ALLOCATED' && !silent.includes(id));
  if (roles.length === 1 || serving.length === 0) return [roles];
  const serves = (role: AmphoraRole) => serving.some((one) => one.role === role);
  const last = roles.find(serves);
  return [...roles.filter((role) => role !== last), ...roles.filter((role) => role === last)].map((role) => [role]);
}

/** Ids of the amphorae of a pair that do not answer. */
async function silentOf(loadBalancerId: string, context: Context): Promise<string[]> {
  const allocated = await context.seats.ofLoadBalancer(context.reader, loadBalancerId, ['ALLOCATED']);
  const pair = allocated.filter(({ role }) => role !== 'STANDALONE');
  const answering = await Promise.all(pair.map((one) => answers(one, context)));
  return pair.filter((_, index) => !answering[index]).map(({ id }) => id);
}
