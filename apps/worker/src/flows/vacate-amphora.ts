import { FLOW_VERSIONS } from '@octavia/flows';
import { type VacateState, vacateAmphora as vacate } from '../steps/vacate-amphora.ts';
import type { WorkerFlow } from '../world.ts';

/** Takes a load balancer off an amphora that serves others. Housekeeping asks for it again until it is done. */
export const vacateAmphora: WorkerFlow<VacateState> = {
  name: 'amphora.vacate',
  version: FLOW_VERSIONS['amphora.vacate'],
  steps: [vacate],
};
