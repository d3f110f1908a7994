import { FLOW_VERSIONS } from '@octavia/flows';
import { type AllocateAmphoraState, allocateAmphora } from '../steps/allocate-amphora.ts';
import { buildAmphora } from '../steps/build-amphora.ts';
import { fenceOldHolders } from '../steps/fence-old-holders.ts';
import { type NoteHoldersState, noteHolders } from '../steps/note-holders.ts';
import { type PlugVipState, plugVip } from '../steps/plug-vip.ts';
import { type PushState, pushConfiguration } from '../steps/push-configuration.ts';
import { reserveVip } from '../steps/reserve-vip.ts';
import { waitForAmphora } from '../steps/wait-for-amphora.ts';
import type { WorkerFlow } from '../world.ts';
import { settleLoadBalancer } from './settle-load-balancer.ts';

/** Gives a load balancer its amphora, VIP and configuration. */
export const createLoadBalancer: WorkerFlow<NoteHoldersState & AllocateAmphoraState & PlugVipState & PushState> = {
  name: 'load_balancer.create',
  version: FLOW_VERSIONS['load_balancer.create'],
  steps: [
    noteHolders,
    allocateAmphora,
    buildAmphora,
    waitForAmphora,
    reserveVip,
    fenceOldHolders,
    plugVip,
    pushConfiguration,
  ],
  settle: settleLoadBalancer,
};
