import { FLOW_VERSIONS } from '@octavia/flows';
import { type AllocateAmphoraState, allocateAmphora } from '../steps/allocate-amphora.ts';
import { buildAmphora } from '../steps/build-amphora.ts';
import { fenceOldHolders } from '../steps/fence-old-holders.ts';
import { type NoteHoldersState, noteHolders } from '../steps/note-holders.ts';
import { type PlugVipState, plugVip } from '../steps/plug-vip.ts';
import { type PushState, pushConfiguration } from '../steps/push-configuration.ts';
import { findVip } from '../steps/reserve-vip.ts';
import { retireOldAmphorae } from '../steps/retire-old-amphorae.ts';
import { waitForAmphora } from '../steps/wait-for-amphora.ts';
import type { WorkerFlow } from '../world.ts';
import { settleLoadBalancer } from './settle-load-balancer.ts';

type FailoverState = NoteHoldersState & AllocateAmphoraState & PlugVipState & PushState;

/** The replacement is ready before the old amphora is isolated, so that an operator's failover interrupts traffic for a moment only. */
const steps: WorkerFlow<FailoverState>['steps'] = [
  noteHolders,
  allocateAmphora,
  buildAmphora,
  waitForAmphora,
  findVip,
  fenceOldHolders,
  plugVip,
  pushConfiguration,
  retireOldAmphorae,
];

/** Replaces one amphora, which is named in the input. */
export const failoverAmphora: WorkerFlow<FailoverState> = {
  name: 'amphora.failover',
  version: FLOW_VERSIONS['amphora.failover'],
  steps,
  settle: settleLoadBalancer,
};

/** Replaces all amphorae of a load balancer, and gives it one where it has none. */
export const failoverLoadBalancer: WorkerFlow<FailoverState> = {
  name: 'load_balancer.failover',
  version: FLOW_VERSIONS['load_balancer.failover'],
  steps,
  settle: settleLoadBalancer,
};
