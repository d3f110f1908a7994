import { FLOW_VERSIONS } from '@octavia/flows';
import { buildAmphorae } from '../steps/build-amphora.ts';
import { deleteAmphoraInstance } from '../steps/delete-amphorae.ts';
import { type TakeAmphoraState, takeAmphora } from '../steps/take-amphora.ts';
import { waitForAmphorae } from '../steps/wait-for-amphora.ts';
import type { WorkerFlow } from '../world.ts';

/** Builds a spare: READY at its end, or on its way out. */
export const createAmphora: WorkerFlow<TakeAmphoraState> = {
  name: 'amphora.create',
  version: FLOW_VERSIONS['amphora.create'],
  steps: [takeAmphora, buildAmphorae, waitForAmphorae],
  async settle(tx, { state, outcome }, { amphorae }) {
    if (outcome === 'SUCCEEDED') await amphorae.setStatus(tx, state.amphoraId, 'READY');
    return null;
  },
};

/** Deletes an amphora that serves nothing any more. It does not stop half-way. */
export const deleteAmphora: WorkerFlow<{ readonly amphoraId: string }> = {
  name: 'amphora.delete',
  version: FLOW_VERSIONS['amphora.delete'],
  steps: [deleteAmphoraInstance],
  isStoppable: false,
  async settle(tx, { state, outcome, fault }, { amphorae }) {
    if (outcome === 'FAILED' && fault) await amphorae.setStatus(tx, state.amphoraId, 'ERROR', fault);
    return null;
  },
};
