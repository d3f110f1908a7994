import { assertEtag, LoadBalancers, NO_RELATIVES, type PendingDetail, VipAddresses } from '@octavia/db';
import {
  begin,
  type Caller,
  type Delta,
  deltaOf,
  HasChildren,
  InvalidRequest,
  isBeingDeleted,
  type LoadBalancer,
} from '@octavia/domain';
import { createLoadBalancer, deleteLoadBalancer, failoverLoadBalancer } from '@octavia/flows';
import {
  CreateLoadBalancerRequest,
  DeleteLoadBalancerRequest,
  FailoverLoadBalancerRequest,
  type LoadBalancerServiceService,
  LoadBalancer as Message,
  UpdateLoadBalancerRequest,
} from '@octavia/proto';
import { currentTraceId, type Handlers, serverStream, unary } from '@octavia/service';
import { v7 as uuidv7 } from 'uuid';
import { requireAdmin, writeScope } from '../authorize.ts';
import type { ChangeContext } from '../changes.ts';
import { isWithin } from '../check/address.ts';
import { applyUpdate } from '../check/update-mask.ts';
import { readId, Violations } from '../check/violations.ts';
import type { Parts } from '../parts.ts';
import type { FoundSubnet } from '../subnet-finder.ts';
import {
  LOAD_BALANCER_PATHS,
  readLoadBalancer,
  readLoadBalancerValues,
  type WantedLoadBalancer,
  writeLoadBalancer,
} from '../translate/load-balancer.ts';
import { acceptedTerms } from './accepted-terms.ts';
import { admittedTopology } from './admitted-topology.ts';
import { loadBalancerStatistics } from './statistics.ts';
import { statusTree } from './status-tree.ts';
import { watchLoadBalancer } from './watch.ts';

const loadBalancers = new LoadBalancers();
const vipAddresses = new VipAddresses();

export function loadBalancerHandlers(parts: Parts): Handlers<typeof LoadBalancerServiceService> {
  return {
    createLoadBalancer: unary((request, { caller }) => create(parts, request, caller)),
    getLoadBalancer: unary(({ id }, { caller }) => parts.replies.get('load_balancer', id, caller)),
    listLoadBalancers: unary(async (request, { caller }) => {
      const { items, nextPageToken } = await parts.replies.list('load_balancer', request, caller);
      return { loadBalancers: [...items], nextPageToken };
    }),
    updateLoadBalancer: unary((request, { caller }) => update(parts, request, caller)),
    deleteLoadBalancer: unary((request, { caller }) => remove(parts, request, caller)),
    failoverLoadBalancer: unary((request, { caller }) => failover(parts, request, caller)),
    getLoadBalancerStatusTree: unary(({ id }, { caller }) => statusTree(parts, id, caller)),
    getLoadBalancerStatistics: unary(({ id }, { caller }) => loadBalancerStatistics(parts, id, caller)),
    watchLoadBalancer: serverStream((request, context) => watchLoadBalancer(parts, request, context)),
  };
}

async function create(parts: Parts, request: CreateLoadBalancerRequest, caller: Caller): Promise<Message> {
  const scope = writeScope(caller, 'Creating a load balancer');
  const check = new Violations('load_balancer');
  const wanted = readLoadBalancer(request.loadBalancer ?? Message.fromPartial({}), caller.projectId, check);
  if (scope !== null && wanted.projectId !== '' && wanted.projectId !== scope) {
    requireAdmin(caller, 'Creating a load balancer for another project');
  }
  check.finish();
  const subnet = await parts.subnets.find(wanted.vipSubnetId, caller, 'load_balancer.vip_subnet_id');
  assertInSubnet(wanted, subnet);
  const id = uuidv7();
  const call = {
    kind: 'load_balancer',
    objectId: id,
    caller,
    scope,
    method: 'CreateLoadBalancer',
    requestId: request.requestId,
    serialise: () => CreateLoadBalancerRequest.encode(request).finish(),
  } as const;
  return parts.changes.runAndAnswer(call, (context) => insert(parts, context, id, wanted, subnet));
}

async function insert(
  parts: Parts,
  context: ChangeContext,
  id: string,
  wanted: WantedLoadBalancer,
  subnet: FoundSubnet,
): Promise<Message> {
  const { tx, by } = context;
  const { vipAddress, vipSubnetId: _, topology: request, ...values } = wanted;
  const terms = await acceptedTerms(tx, wanted, subnet);
  const topology = await admittedTopology(tx, {
    request,
    flavor: terms.topology,
    deployment: parts.policy.topology,
  });
  // Of a subnet that is not ours, the first step of the flow gets the address.
  const address = subnet.isManaged
    ? await vipAddresses.allocate(tx, { subnetId: subnet.id, address: vipAddress, loadBalancerId: id })
    : vipAddress;
  const created = await loadBalancers.insert(tx, {
    ...values,
    id,
    author: by.author,
    requestId: by.requestId,
    provisioningStatus: 'PENDING_CREATE',
    fault: null,
    revision: 1,
    appliedRevision: 0,
    desiredRevision: 1,
    provider: 'amphora',
    topology,
    placement: terms.placement,
    vip: { address, subnetId: subnet.id, networkId: subnet.networkId, portId: null },
  });
  const revision = revisionOf(created, 'CREATE', deltaOf(null, created));
  const flowId = await parts.changes.start(context, created, revision, createLoadBalancer);
  // Nothing else can know of it yet, so there is nothing to read.
  const pending = firstDetail(flowId, created.createdAt, parts.policy.flowDeadlineMs);
  return writeLoadBalancer({ object: created, operatingStatus: null, related: NO_RELATIVES }, pending);
}

function firstDetail(flowId: string, createdAt: Date, deadlineMs: number): PendingDetail {
  return {
    flow: 'load_balancer.create',
    flowId,
    step: null,
    attempt: 0,
    waitingFor: 'its turn',
    lastError: null,
    nextTryAt: createdAt,
    deadlineAt: new Date(createdAt.getTime() + deadlineMs),
    traceId: currentTraceId() ?? null,
  };
}

function assertInSubnet({ vipAddress }: WantedLoadBalancer, { id, addresses }: FoundSubnet): void {
  if (vipAddress === null || isWithin(vipAddress, addresses)) return;
  const range = 'cidr' in addresses ? addresses.cidr : `${addresses.first} to ${addresses.last}`;
  const description = `must be in subnet ${id}: ${range}`;
  throw new InvalidRequest([{ field: 'load_balancer.vip_address', reason: 'ADDRESS_OUTSIDE_SUBNET', description }]);
}

async function update(parts: Parts, request: UpdateLoadBalancerRequest, caller: Caller): Promise<Message> {
  const scope = writeScope(caller, 'Changing a load balancer');
  const message = request.loadBalancer ?? Message.fromPartial({});
  const id = readId('load_balancer.id', message.id);
  const call = {
    kind: 'load_balancer',
    objectId: id,
    caller,
    scope,
    method: 'UpdateLoadBalancer',
    requestId: request.requestId,
    serialise: () => UpdateLoadBalancerRequest.encode(request).finish(),
  } as const;
  return parts.changes.run(call, async (context) => {
    const begun = await loadBalancers.begin(context.tx, 'update', id, scope, message.etag);
    const check = new Violations('load_balancer');
    const current = writeLoadBalancer({ object: begun, operatingStatus: null, related: NO_RELATIVES });
    const merged = applyUpdate(LOAD_BALANCER_PATHS, current, message, request.updateMask, check);
    const values = readLoadBalancerValues(merged, check);
    check.finish();
    const updated = await loadBalancers.update(context.tx, begun, values, context.by);
    await parts.changes.push(context, begun, revisionOf(begun, 'UPDATE', deltaOf(begun, updated)));
  });
}

async function remove(parts: Parts, request: DeleteLoadBalancerRequest, caller: Caller): Promise<Message> {
  const scope = writeScope(caller, 'Deleting a load balancer');
  const id = readId('id', request.id);
  const call = {
    kind: 'load_balancer',
    objectId: id,
    caller,
    scope,
    method: 'DeleteLoadBalancer',
    requestId: request.requestId,
    serialise: () => DeleteLoadBalancerRequest.encode(request).finish(),
  } as const;
  return parts.changes.run(call, async (context) => {
    const { tx, by } = context;
    const current = await loadBalancers.lockVisible(tx, id, scope);
    if (isBeingDeleted(current)) return;
    assertEtag(current, request.etag);
    const begun = begin('delete', current);
    if (request.cascade) await loadBalancers.markChildrenDeleting(tx, begun, by);
    else if (await loadBalancers.hasChildren(tx, id)) throw new HasChildren(id);
    await loadBalancers.update(tx, begun, {}, by);
    await parts.changes.start(context, begun, revisionOf(begun, 'DELETE'), deleteLoadBalancer);
  });
}

async function failover(parts: Parts, request: FailoverLoadBalancerRequest, caller: Caller): Promise<Message> {
  requireAdmin(caller, 'Failover of a load balancer');
  const id = readId('id', request.id);
  const call = {
    kind: 'load_balancer',
    objectId: id,
    caller,
    scope: null,
    method: 'FailoverLoadBalancer',
    requestId: request.requestId,
    serialise: () => FailoverLoadBalancerRequest.encode(request).finish(),
  } as const;
  return parts.changes.run(call, async (context) => {
    const begun = await loadBalancers.begin(context.tx, 'failover', id, null);
    await parts.changes.start(context, begun, revisionOf(begun, 'FAILOVER'), failoverLoadBalancer);
  });
}

function revisionOf({ id }: LoadBalancer, action: 'CREATE' | 'UPDATE' | 'DELETE' | 'FAILOVER', changes: Delta = {}) {
  return { objectKind: 'load_balancer', objectId: id, action, changes } as const;
}
