/**
 * Which flows exist, in which version, and how to ask for one. The worker has their steps; gateway, health and housekeeping
 * start them inside their own transactions with `Flows.start` of @octavia/db.
 */
import type { Caller, Json, NewFlow } from '@octavia/domain';

/** Who a flow is for: kept with it, with its events and its log lines. */
export type Requester = Pick<Caller, 'projectId' | 'userId' | 'requestId'>;

/** Lower goes first, over the whole system. Source: design section 3; the order of Octavia's build priorities. */
export const PRIORITY = { failover: 0, delete: 10, tenant: 20, housekeeping: 30 } as const;

/** Version of each flow's steps and input. Raise it when either changes; keep the old one in the worker for a release. */
export const FLOW_VERSIONS = {
  'load_balancer.create': 1,
  'load_balancer.update': 1,
  'load_balancer.delete': 1,
  'load_balancer.failover': 1,
  'amphora.create': 1,
  'amphora.delete': 1,
  'amphora.failover': 1,
  'amphora.mend': 1,
  'amphora.vacate': 1,
  'amphora.rotate_certificate': 1,
  'amphora.configure': 1,
  'orphans.sweep': 1,
} as const;
export type FlowName = keyof typeof FLOW_VERSIONS;

/**
 * Milliseconds until a flow gives up and settles in ERROR. Source: design section 3 for local and noop drivers, 60 s. Drivers that
 * boot virtual machines need more: `FLOW_DEADLINE` of the worker and gateway sets it.
 */
export const DEFAULT_DEADLINE_MS = 60_000;

interface Options {
  readonly deadlineMs?: number;
}

/** Gives a load balancer its amphorae, VIP and configuration. */
export function createLoadBalancer(loadBalancerId: string, requester: Requester, options: Options = {}): NewFlow {
  return ofLoadBalancer('load_balancer.create', loadBalancerId, requester, PRIORITY.tenant, false, {}, options);
}

/** Pushes the newest desired revision to the amphorae and settles every object up to it. */
export function updateLoadBalancer(loadBalancerId: string, requester: Requester, options: Options = {}): NewFlow {
  return ofLoadBalancer('load_balancer.update', loadBalancerId, requester, PRIORITY.tenant, false, {}, options);
}

/** Deletes amphorae, releases the VIP, then the rows. A flow that runs is asked to stop for it. */
export function deleteLoadBalancer(loadBalancerId: string, requester: Requester, options: Options = {}): NewFlow {
  return ofLoadBalancer('load_balancer.delete', loadBalancerId, requester, PRIORITY.delete, true, {}, options);
}

/** Replaces every amphora of a load balancer, one by one. A flow that runs is asked to stop for it. */
export function failoverLoadBalancer(loadBalancerId: string, requester: Requester, options: Options = {}): NewFlow {
  return ofLoadBalancer('load_balancer.failover', loadBalancerId, requester, PRIORITY.failover, true, {}, options);
}

/** Builds a spare. The amphora's row, BOOTING, is inserted in the same transaction. */
export function createAmphora(amphoraId: string, requester: Requester, options: Options = {}): NewFlow {
  return ofAmphora('amphora.create', amphoraId, null, requester, PRIORITY.housekeeping, false, options);
}

/** Deletes an amphora that serves nothing any more: instance, addresses, row. */
export function deleteAmphora(amphoraId: string, requester: Requester, options: Options = {}): NewFlow {
  return ofAmphora('amphora.delete', amphoraId, null, requester, PRIORITY.housekeeping, false, options);
}

/** Replaces one amphora. It takes turns with the flows of its load balancer and asks the one that runs to stop. */
export function failoverAmphora(
  amphoraId: string,
  loadBalancerId: string,
  requester: Requester,
  options: Options = {},
): NewFlow {
  return ofAmphora('amphora.failover', amphoraId, loadBalancerId, requester, PRIORITY.failover, true, options);
}

/**
 * Brings one amphora of a pair up to what the other one serves already. It takes turns with the flows of its load balancer.
 * @param options.deadlineMs when it cannot be done in that time, the amphora is replaced
 */
export function mendAmphora(
  amphoraId: string,
  loadBalancerId: string,
  requester: Requester,
  options: Required<Options>,
): NewFlow {
  return ofAmphora('amphora.mend', amphoraId, loadBalancerId, requester, PRIORITY.tenant, false, options);
}

/**
 * Takes a load balancer off an amphora that serves others. It has the amphora's turn: the load balancer may serve elsewhere already, and
 * does not wait for it.
 */
export function vacateAmphora(
  amphoraId: string,
  loadBalancerId: string,
  requester: Requester,
  options: Options = {},
): NewFlow {
  const flow = ofAmphora('amphora.vacate', amphoraId, null, requester, PRIORITY.delete, false, options);
  return { ...flow, input: { amphoraId, loadBalancerId } };
}

/** Gives the agent of a living amphora a new certificate, without an interruption. It takes turns with what its load balancer does. */
export function rotateAmphoraCertificate(
  amphoraId: string,
  loadBalancerId: string | null,
  requester: Requester,
  options: Options = {},
): NewFlow {
  const name = 'amphora.rotate_certificate';
  return ofAmphora(name, amphoraId, loadBalancerId, requester, PRIORITY.housekeeping, false, options);
}

/**
 * Gives the agent of a living amphora its configuration anew: where to send heartbeats, how often, and with which key. It takes turns with
 * what its load balancer does.
 */
export function configureAmphora(
  amphoraId: string,
  loadBalancerId: string | null,
  requester: Requester,
  options: Options = {},
): NewFlow {
  const name = 'amphora.configure';
  return ofAmphora(name, amphoraId, loadBalancerId, requester, PRIORITY.housekeeping, false, options);
}

/** Turn of the sweep: one at a time. Belongs to no load balancer and no amphora. */
const SWEEP_TURN = '01900000-0000-7000-8000-00006f727068';

/**
 * Isolates and deletes instances of ours that the database does not know, and gives back addresses that nobody has: what a restored
 * older database leaves, and what no crash should.
 * @param graceMs what is younger is left alone; 0 to find all @param isUrgent before everything that waits
 */
export function sweepOrphans(
  requester: Requester,
  { graceMs, isUrgent = false, ...options }: Options & { readonly graceMs: number; readonly isUrgent?: boolean },
): NewFlow {
  const priority = isUrgent ? PRIORITY.failover : PRIORITY.housekeeping;
  return {
    ...common('orphans.sweep', requester, priority, false, { graceMs }, options),
    turnKey: SWEEP_TURN,
    loadBalancerId: null,
    amphoraId: null,
  };
}

function ofLoadBalancer(
  name: FlowName,
  loadBalancerId: string,
  requester: Requester,
  priority: number,
  stopsOthers: boolean,
  input: Json,
  options: Options,
): NewFlow {
  return {
    ...common(name, requester, priority, stopsOthers, input, options),
    turnKey: loadBalancerId,
    loadBalancerId,
    amphoraId: null,
  };
}

function ofAmphora(
  name: FlowName,
  amphoraId: string,
  loadBalancerId: string | null,
  requester: Requester,
  priority: number,
  stopsOthers: boolean,
  options: Options,
): NewFlow {
  return {
    ...common(name, requester, priority, stopsOthers, { amphoraId }, options),
    turnKey: loadBalancerId ?? amphoraId,
    loadBalancerId,
    amphoraId,
  };
}

function common(
  name: FlowName,
  requester: Requester,
  priority: number,
  stopsOthers: boolean,
  input: Json,
  { deadlineMs = DEFAULT_DEADLINE_MS }: Options,
) {
  return {
    name,
    version: FLOW_VERSIONS[name],
    priority,
    projectId: requester.projectId,
    author: requester.userId,
    requestId: requester.requestId,
    input,
    deadlineMs,
    stopsOthers,
  };
}
