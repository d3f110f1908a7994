import { FLOW_VERSIONS } from '@octavia/flows';
import { type PushState, pushConfiguration } from '../steps/push-configuration.ts';
import type { WorkerFlow } from '../world.ts';
import { settleLoadBalancer } from './settle-load-balancer.ts';

/** Pushes the newest desired revision, whatever number of changes is in it. */
export const updateLoadBalancer: WorkerFlow<PushState> = {
  name: 'load_balancer.update',
  version: FLOW_VERSIONS['load_balancer.update'],
  steps: [pushConfiguration],
  settle: settleLoadBalancer,
};
