import { FLOW_VERSIONS } from '@octavia/flows';
import { giveUpAmphora } from '../steps/give-up-amphora.ts';
import { type VacateState, vacateAmphora as vacate } from '../steps/vacate-amphora.ts';
import type { WorkerFlow } from '../world.ts';

/** Takes a load balancer off an amphora that serves others. An amphora that does not let it go is broken: all that it serves is moved. */
export const vacateAmphora: WorkerFlow<VacateState> = {
  name: 'amphora.vacate',
  version: FLOW_VERSIONS['amphora.vacate'],
  steps: [vacate],
  async settle(tx, end, world) {
    const { amphoraId } = end.state;
    if (end.outcome !== 'FAILED' || end.fault === null) return null;
    const fault = { reason: 'AMPHORA_UNREACHABLE', message: `It did not let a load balancer go: ${end.fault.message}` };
    await giveUpAmphora(tx, amphoraId, fault, { ...world, flow: end.flow });
    return null;
  },
};
