import { isBeingDeleted } from '@octavia/domain';
import { Closing, Superseded } from '../engine/flow.ts';
import type { WorkerStep } from '../world.ts';

export interface NoteHoldersState {
  readonly loadBalancerId: string;
  /** The amphora whose failure is the reason; absent: all are to be replaced. */
  readonly amphoraId?: string;
  /** Every amphora that may carry the VIP when the flow starts. */
  readonly oldAmphoraIds: readonly string[];
}

/** Remembers which amphorae may carry the VIP, so that the new one is told from them, also after a crash. */
export const noteHolders: WorkerStep<NoteHoldersState> = {
  name: 'note_holders',
  async do({ loadBalancerId, amphoraId }, { loadBalancers, amphorae }) {
    return new Closing(async (tx) => {
      const lb = await loadBalancers.lock(tx, loadBalancerId);
      if (!lb || isBeingDeleted(lb)) throw new Superseded(`Load balancer ${loadBalancerId} is being deleted.`);
      const old = await amphorae.ofLoadBalancer(tx, loadBalancerId);
      if (amphoraId !== undefined && !old.some(({ id, status }) => id === amphoraId && status === 'ALLOCATED')) {
        throw new Superseded(`Amphora ${amphoraId} has been replaced.`);
      }
      return { oldAmphoraIds: old.map(({ id }) => id) };
    });
  },
};
