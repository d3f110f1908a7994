import {
  type ChangedBy,
  HealthMonitors,
  Listeners,
  LoadBalancers,
  Members,
  NO_RELATIVES,
  Pools,
  type Scope,
  type Tx,
} from '@octavia/db';
import {
  AlreadyExists,
  type Caller,
  changed,
  type Delta,
  deltaOf,
  InvalidRequest,
  type Listener,
  type LoadBalancer,
  poolDeletionOf,
} from '@octavia/domain';
import {
  CreatePoolRequest,
  type DeletePoolRequest,
  Pool as Message,
  type PoolServiceService,
  UpdatePoolRequest,
} from '@octavia/proto';
import { type Handlers, unary } from '@octavia/service';
import { v7 as uuidv7 } from 'uuid';
import { writeScope } from '../authorize.ts';
import type { ChangeContext } from '../changes.ts';
import { applyUpdate } from '../check/update-mask.ts';
import { readId, Violations } from '../check/violations.ts';
import type { Parts } from '../parts.ts';
import { POOL_PATHS, readPool, type WantedPool, writePool } from '../translate/pool.ts';
import { newChild, removeChild } from './child.ts';
import { assertProtocolsFit } from './listener.ts';

const loadBalancers = new LoadBalancers();
const listeners = new Listeners();
const pools = new Pools();
const members = new Members();
const healthMonitors = new HealthMonitors();

export function poolHandlers(parts: Parts): Handlers<typeof PoolServiceService> {
  return {
    createPool: unary((request, { caller }) => create(parts, request, caller)),
    getPool: unary(({ id }, { caller }) => parts.replies.get('pool', id, caller)),
    listPools: unary(async (request, { caller }) => {
      const parent = { field: 'load_balancer_id', id: request.loadBalancerId };
      const { items, nextPageToken } = await parts.replies.list('pool', { ...request, parent }, caller);
      return { pools: [...items], nextPageToken };
    }),
    updatePool: unary((request, { caller }) => update(parts, request, caller)),
    deletePool: unary((request, { caller }) => remove(parts, request, caller)),
  };
}

async function create(parts: Parts, request: CreatePoolRequest, caller: Caller): Promise<Message> {
  const scope = writeScope(caller, 'Creating a pool');
  const check = new Violations('pool');
  const wanted = readPool(request.pool ?? Message.fromPartial({}), check);
  const inRequest = new Violations();
  const listenerId = inRequest.optionalUuid('listener_id', request.listenerId);
  if (wanted.loadBalancerId === null && listenerId === null) {
    check.add('load_balancer_id', 'REQUIRED', 'is required unless listener_id is given');
  }
  check.include(inRequest);
  check.finish();
  const id = uuidv7();
  const call = {
    kind: 'pool',
    objectId: id,
    caller,
    scope,
    method: 'CreatePool',
    requestId: request.requestId,
    serialise: () => CreatePoolRequest.encode(request).finish(),
  } as const;
  return parts.changes.run(call, async (context) => {
    const { tx, by } = context;
    const { begun, listener } = await beginCreate(tx, scope, wanted, listenerId);
    const { loadBalancerId: _, ...values } = wanted;
    const created = await pools.insert(tx, { ...values, ...newChild(id, begun, by) });
    if (listener) await attach(tx, begun, listener, id, by);
    const changes: Delta = { ...deltaOf(null, created), ...(listener ? { listenerId: [listener.id] } : {}) };
    await parts.changes.push(context, begun, { objectKind: 'pool', objectId: id, action: 'CREATE', changes }, 'pool');
  });
}

/** Locks the load balancer, which the request names itself or by the listener that gets the pool. */
async function beginCreate(tx: Tx, scope: Scope, wanted: WantedPool, listenerId: string | null) {
  if (listenerId === null) {
    return { begun: await loadBalancers.begin(tx, 'update', wanted.loadBalancerId ?? '', scope), listener: null };
  }
  const { loadBalancer, object } = await listeners.begin(tx, listenerId, scope);
  if (wanted.loadBalancerId !== null && wanted.loadBalancerId !== loadBalancer.id) {
    const description = `must be the load balancer of the listener, ${loadBalancer.id}, or empty`;
    throw new InvalidRequest([{ field: 'pool.load_balancer_id', reason: 'LOAD_BALANCER_MISMATCH', description }]);
  }
  if (object.defaultPoolId !== null) {
    const message = `Listener ${listenerId} has the pool ${object.defaultPoolId}. Take that from it first, or leave listener_id out.`;
    throw new AlreadyExists('LISTENER_HAS_POOL', message, { listenerId, poolId: object.defaultPoolId });
  }
  assertProtocolsFit(object.protocol, wanted, 'pool.protocol');
  return { begun: loadBalancer, listener: object };
}

async function attach(tx: Tx, begun: LoadBalancer, listener: Listener, poolId: string, by: ChangedBy): Promise<void> {
  const fields = { defaultPoolId: poolId, provisioningStatus: changed(listener) };
  await listeners.update(tx, begun, listener.id, fields, by);
}

async function update(parts: Parts, request: UpdatePoolRequest, caller: Caller): Promise<Message> {
  const scope = writeScope(caller, 'Changing a pool');
  const message = request.pool ?? Message.fromPartial({});
  const id = readId('pool.id', message.id);
  const call = {
    kind: 'pool',
    objectId: id,
    caller,
    scope,
    method: 'UpdatePool',
    requestId: request.requestId,
    serialise: () => UpdatePoolRequest.encode(request).finish(),
  } as const;
  return parts.changes.run(call, async (context) => {
    const { tx, by } = context;
    const { loadBalancer, object } = await pools.begin(tx, id, scope, message.etag);
    const check = new Violations('pool');
    const current = writePool({ object, operatingStatus: null, related: NO_RELATIVES });
    const wanted = readPool(applyUpdate(POOL_PATHS, current, message, request.updateMask, check), check);
    check.finish();
    const { loadBalancerId: _, ...values } = wanted;
    const updated = await pools.update(tx, loadBalancer, id, { ...values, provisioningStatus: changed(object) }, by);
    const changes = deltaOf(object, updated);
    await parts.changes.push(context, loadBalancer, { objectKind: 'pool', objectId: id, action: 'UPDATE', changes });
  });
}

async function remove(parts: Parts, request: DeletePoolRequest, caller: Caller): Promise<Message> {
  return removeChild(parts, 'DeletePool', pools, request, caller, markDeleting);
}

/** Marks the pool with all that is below it, and takes it from its listeners. */
async function markDeleting({ tx, by }: ChangeContext, begun: LoadBalancer, id: string): Promise<Delta> {
  const detached = await listeners.detachPool(tx, begun, id, by);
  const [pool] = await pools.markDeleting(tx, begun, by, 'id', id);
  const goneMembers = await members.markDeleting(tx, begun, by, 'pool_id', id);
  const goneMonitors = await healthMonitors.markDeleting(tx, begun, by, 'pool_id', id);
  return poolDeletionOf(pool ?? {}, {
    listenerIds: detached.map((listener) => listener.id),
    members: goneMembers,
    healthMonitors: goneMonitors,
  });
}
