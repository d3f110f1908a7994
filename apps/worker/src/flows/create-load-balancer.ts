import { FLOW_VERSIONS } from '@octavia/flows';
import { allocateAmphorae } from '../steps/allocate-amphora.ts';
import { buildAmphorae } from '../steps/build-amphora.ts';
import { fenceOldHolders } from '../steps/fence-old-holders.ts';
import { type NoteHoldersState, noteNoHolders } from '../steps/note-holders.ts';
import { type PlugVipState, plugVip } from '../steps/plug-vip.ts';
import { type PushState, pushToComers } from '../steps/push-configuration.ts';
import { reserveVip } from '../steps/reserve-vip.ts';
import { FIRST } from '../steps/rounds.ts';
import { configureVrrp, startVrrp, type VrrpState } from '../steps/start-vrrp.ts';
import { waitForAmphorae } from '../steps/wait-for-amphora.ts';
import type { WorkerFlow } from '../world.ts';
import { settleLoadBalancer } from './settle-load-balancer.ts';

/** Gives a load balancer its amphora, or its pair, with VIP and configuration. */
export const createLoadBalancer: WorkerFlow<NoteHoldersState & PlugVipState & PushState & VrrpState> = {
  name: 'load_balancer.create',
  version: FLOW_VERSIONS['load_balancer.create'],
  steps: [
    noteNoHolders,
    allocateAmphorae,
    buildAmphorae,
    waitForAmphorae,
    reserveVip,
    fenceOldHolders(FIRST),
    plugVip(FIRST),
    pushToComers(FIRST),
    // Of a pair alone.
    configureVrrp(FIRST),
    startVrrp(FIRST),
  ],
  settle: settleLoadBalancer,
};
