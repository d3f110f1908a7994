import { FLOW_VERSIONS } from '@octavia/flows';
import { findOrphans, type OrphansState, removeOrphans } from '../steps/sweep-orphans.ts';
import type { WorkerFlow } from '../world.ts';

/** Isolates and deletes what is outside and in no row: the database says what there is. */
export const sweepOrphans: WorkerFlow<OrphansState> = {
  name: 'orphans.sweep',
  version: FLOW_VERSIONS['orphans.sweep'],
  steps: [findOrphans, removeOrphans],
  isStoppable: false,
};
