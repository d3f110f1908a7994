import { HealthMonitors, NO_RELATIVES, Pools } from '@octavia/db';
import { type Caller, changed, deletionOf, deltaOf } from '@octavia/domain';
import {
  CreateHealthMonitorRequest,
  type DeleteHealthMonitorRequest,
  type HealthMonitorServiceService,
  HealthMonitor as Message,
  UpdateHealthMonitorRequest,
} from '@octavia/proto';
import { type Handlers, unary } from '@octavia/service';
import { v7 as uuidv7 } from 'uuid';
import { writeScope } from '../authorize.ts';
import { applyUpdate } from '../check/update-mask.ts';
import { readId, Violations } from '../check/violations.ts';
import type { Parts } from '../parts.ts';
import { HEALTH_MONITOR_PATHS, readHealthMonitor, writeHealthMonitor } from '../translate/health-monitor.ts';
import { newChild, removeChild } from './child.ts';

const pools = new Pools();
const healthMonitors = new HealthMonitors();

export function healthMonitorHandlers(parts: Parts): Handlers<typeof HealthMonitorServiceService> {
  return {
    createHealthMonitor: unary((request, { caller }) => create(parts, request, caller)),
    getHealthMonitor: unary(({ id }, { caller }) => parts.replies.get('health_monitor', id, caller)),
    listHealthMonitors: unary(async (request, { caller }) => {
      const parent = { field: 'pool_id', id: request.poolId };
      const { items, nextPageToken } = await parts.replies.list('health_monitor', { ...request, parent }, caller);
      return { healthMonitors: [...items], nextPageToken };
    }),
    updateHealthMonitor: unary((request, { caller }) => update(parts, request, caller)),
    deleteHealthMonitor: unary((request, { caller }) => remove(parts, request, caller)),
  };
}

async function create(parts: Parts, request: CreateHealthMonitorRequest, caller: Caller): Promise<Message> {
  const scope = writeScope(caller, 'Creating a health monitor');
  const check = new Violations('health_monitor');
  const wanted = readHealthMonitor(request.healthMonitor ?? Message.fromPartial({}), check);
  check.finish();
  const id = uuidv7();
  const call = {
    kind: 'health_monitor',
    objectId: id,
    caller,
    scope,
    method: 'CreateHealthMonitor',
    requestId: request.requestId,
    serialise: () => CreateHealthMonitorRequest.encode(request).finish(),
  } as const;
  return parts.changes.run(call, async (context) => {
    const { tx, by } = context;
    const { loadBalancer } = await pools.begin(tx, wanted.poolId, scope);
    const created = await healthMonitors.insert(tx, { ...wanted, ...newChild(id, loadBalancer, by) });
    const changes = deltaOf(null, created);
    const revision = { objectKind: 'health_monitor', objectId: id, action: 'CREATE', changes } as const;
    await parts.changes.push(context, loadBalancer, revision, 'health_monitor');
  });
}

async function update(parts: Parts, request: UpdateHealthMonitorRequest, caller: Caller): Promise<Message> {
  const scope = writeScope(caller, 'Changing a health monitor');
  const message = request.healthMonitor ?? Message.fromPartial({});
  const id = readId('health_monitor.id', message.id);
  const call = {
    kind: 'health_monitor',
    objectId: id,
    caller,
    scope,
    method: 'UpdateHealthMonitor',
    requestId: request.requestId,
    serialise: () => UpdateHealthMonitorRequest.encode(request).finish(),
  } as const;
  return parts.changes.run(call, async (context) => {
    const { tx, by } = context;
    const { loadBalancer, object } = await healthMonitors.begin(tx, id, scope, message.etag);
    const check = new Violations('health_monitor');
    const current = writeHealthMonitor({ object, operatingStatus: null, related: NO_RELATIVES });
    const merged = applyUpdate(HEALTH_MONITOR_PATHS, current, message, request.updateMask, check);
    const wanted = readHealthMonitor(merged, check);
    check.finish();
    const fields = { ...wanted, provisioningStatus: changed(object) };
    const updated = await healthMonitors.update(tx, loadBalancer, id, fields, by);
    const changes = deltaOf(object, updated);
    await parts.changes.push(context, loadBalancer, {
      objectKind: 'health_monitor',
      objectId: id,
      action: 'UPDATE',
      changes,
    });
  });
}

async function remove(parts: Parts, request: DeleteHealthMonitorRequest, caller: Caller): Promise<Message> {
  return removeChild(parts, 'DeleteHealthMonitor', healthMonitors, request, caller, async ({ tx, by }, begun, id) => {
    const [gone] = await healthMonitors.markDeleting(tx, begun, by, 'id', id);
    return deletionOf(gone ?? {});
  });
}
