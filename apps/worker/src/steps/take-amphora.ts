import { Superseded } from '../engine/flow.ts';
import type { WorkerStep } from '../world.ts';
import { discardAmphora } from './discard-amphora.ts';
import type { NewAmphora } from './rounds.ts';

export interface TakeAmphoraState {
  readonly amphoraId: string;
  readonly newAmphorae: readonly NewAmphora[];
}

/** Takes up the spare whose row the flow was started with. */
export const takeAmphora: WorkerStep<TakeAmphoraState> = {
  name: 'take_amphora',
  async do({ amphoraId }, { reader, amphorae }) {
    const { status } = await amphorae.get(reader, amphoraId);
    if (status !== 'BOOTING') throw new Superseded(`Amphora ${amphoraId} is ${status} by now.`);
    return { newAmphorae: [{ id: amphoraId, role: null }] };
  },
  async undo({ amphoraId }, context) {
    await context.transaction((tx) => discardAmphora(tx, amphoraId, context));
  },
};
