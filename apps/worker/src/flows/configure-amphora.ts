import { FLOW_VERSIONS } from '@octavia/flows';
import { configureAgent } from '../steps/configure-agent.ts';
import type { WorkerFlow } from '../world.ts';

/** Gives the agent of a living amphora its configuration anew. */
export const configureAmphora: WorkerFlow<{ readonly amphoraId: string }> = {
  name: 'amphora.configure',
  version: FLOW_VERSIONS['amphora.configure'],
  steps: [configureAgent],
};
