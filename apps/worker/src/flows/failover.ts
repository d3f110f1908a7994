import { FLOW_VERSIONS } from '@octavia/flows';
import { allocateAmphorae } from '../steps/allocate-amphora.ts';
import { buildAmphorae } from '../steps/build-amphora.ts';
import { fenceOldHolders } from '../steps/fence-old-holders.ts';
import { introduceComers } from '../steps/introduce-comers.ts';
import { type NoteHoldersState, noteHolders } from '../steps/note-holders.ts';
import { type PlugVipState, plugVip } from '../steps/plug-vip.ts';
import { type PushState, pushToComers } from '../steps/push-configuration.ts';
import { findVip } from '../steps/reserve-vip.ts';
import { retireOldAmphorae } from '../steps/retire-old-amphorae.ts';
import { FIRST, SECOND } from '../steps/rounds.ts';
import { configureVrrp, startVrrp, type VrrpState } from '../steps/start-vrrp.ts';
import { waitForAmphorae } from '../steps/wait-for-amphora.ts';
import type { WorkerFlow } from '../world.ts';
import { settleLoadBalancer } from './settle-load-balancer.ts';

type FailoverState = NoteHoldersState & PlugVipState & PushState & VrrpState;
type Steps = WorkerFlow<FailoverState>['steps'];

/** The replacements are ready before an old amphora is isolated, so that an operator's failover interrupts traffic for a moment only. */
const prepare: Steps = [noteHolders, allocateAmphorae, buildAmphorae, waitForAmphorae, findVip];

/** Brings the replacements of one round into service. Whoever serves on learns of them before they take part in VRRP. */
function replace(round: number): Steps {
  return [
    fenceOldHolders(round),
    plugVip(round),
    pushToComers(round),
    // Of a pair alone.
    configureVrrp(round),
    introduceComers(round),
    startVrrp(round),
    retireOldAmphorae(round),
  ];
}

/** Replaces one amphora, which is named in the input. The other one of a pair serves on. */
export const failoverAmphora: WorkerFlow<FailoverState> = {
  name: 'amphora.failover',
  version: FLOW_VERSIONS['amphora.failover'],
  steps: [...prepare, ...replace(FIRST)],
  settle: settleLoadBalancer,
};

/** Replaces all amphorae of a load balancer, those of a pair one after the other, and gives it what it lacks. */
export const failoverLoadBalancer: WorkerFlow<FailoverState> = {
  name: 'load_balancer.failover',
  version: FLOW_VERSIONS['load_balancer.failover'],
  steps: [...prepare, ...replace(FIRST), ...replace(SECOND)],
  settle: settleLoadBalancer,
};
