import { Listeners, LoadBalancers, NO_RELATIVES, Pools, type Tx } from '@octavia/db';
import {
  BeingDeleted,
  type Caller,
  changed,
  deletionOf,
  deltaOf,
  InvalidRequest,
  isBeingDeleted,
  type Listener,
  type LoadBalancer,
  NotFound,
  type Pool,
  type Protocol,
} from '@octavia/domain';
import {
  CreateListenerRequest,
  type DeleteListenerRequest,
  type ListenerServiceService,
  Listener as Message,
  UpdateListenerRequest,
} from '@octavia/proto';
import { POOL_PROTOCOLS_OF_LISTENER } from '@octavia/render';
import { type Handlers, unary } from '@octavia/service';
import { v7 as uuidv7 } from 'uuid';
import { writeScope } from '../authorize.ts';
import { applyUpdate } from '../check/update-mask.ts';
import { readId, Violations } from '../check/violations.ts';
import type { Parts } from '../parts.ts';
import { LISTENER_PATHS, readListener, type WantedListener, writeListener } from '../translate/listener.ts';
import { newChild, removeChild } from './child.ts';
import { listenerStatistics } from './statistics.ts';

const loadBalancers = new LoadBalancers();
const listeners = new Listeners();
const pools = new Pools();

export function listenerHandlers(parts: Parts): Handlers<typeof ListenerServiceService> {
  return {
    createListener: unary((request, { caller }) => create(parts, request, caller)),
    getListener: unary(({ id }, { caller }) => parts.replies.get('listener', id, caller)),
    listListeners: unary(async (request, { caller }) => {
      const parent = { field: 'load_balancer_id', id: request.loadBalancerId };
      const { items, nextPageToken } = await parts.replies.list('listener', { ...request, parent }, caller);
      return { listeners: [...items], nextPageToken };
    }),
    updateListener: unary((request, { caller }) => update(parts, request, caller)),
    deleteListener: unary((request, { caller }) => remove(parts, request, caller)),
    getListenerStatistics: unary(({ id }, { caller }) => listenerStatistics(parts, id, caller)),
  };
}

async function create(parts: Parts, request: CreateListenerRequest, caller: Caller): Promise<Message> {
  const scope = writeScope(caller, 'Creating a listener');
  const check = new Violations('listener');
  const wanted = readListener(request.listener ?? Message.fromPartial({}), check);
  check.finish();
  const id = uuidv7();
  const call = {
    kind: 'listener',
    objectId: id,
    caller,
    scope,
    method: 'CreateListener',
    requestId: request.requestId,
    serialise: () => CreateListenerRequest.encode(request).finish(),
  } as const;
  return parts.changes.run(call, async (context) => {
    const { tx, by } = context;
    const begun = await loadBalancers.begin(tx, 'update', wanted.loadBalancerId, scope);
    await assertPoolFits(tx, begun, wanted);
    const created = await listeners.insert(tx, { ...wanted, ...newChild(id, begun, by) });
    const changes = deltaOf(null, created);
    await parts.changes.push(
      context,
      begun,
      { objectKind: 'listener', objectId: id, action: 'CREATE', changes },
      'listener',
    );
  });
}

async function update(parts: Parts, request: UpdateListenerRequest, caller: Caller): Promise<Message> {
  const scope = writeScope(caller, 'Changing a listener');
  const message = request.listener ?? Message.fromPartial({});
  const id = readId('listener.id', message.id);
  const call = {
    kind: 'listener',
    objectId: id,
    caller,
    scope,
    method: 'UpdateListener',
    requestId: request.requestId,
    serialise: () => UpdateListenerRequest.encode(request).finish(),
  } as const;
  return parts.changes.run(call, async (context) => {
    const { tx, by } = context;
    const { loadBalancer, object } = await listeners.begin(tx, id, scope, message.etag);
    const wanted = merge(object, request, message);
    if (wanted.defaultPoolId !== object.defaultPoolId) await assertPoolFits(tx, loadBalancer, wanted);
    const fields: Partial<Listener> = { ...wanted, provisioningStatus: changed(object) };
    const updated = await listeners.update(tx, loadBalancer, id, fields, by);
    const changes = deltaOf(object, updated);
    await parts.changes.push(context, loadBalancer, {
      objectKind: 'listener',
      objectId: id,
      action: 'UPDATE',
      changes,
    });
  });
}

function merge(object: Listener, request: UpdateListenerRequest, message: Message): WantedListener {
  const check = new Violations('listener');
  const current = writeListener({ object, operatingStatus: null, related: NO_RELATIVES });
  const wanted = readListener(applyUpdate(LISTENER_PATHS, current, message, request.updateMask, check), check);
  check.finish();
  return wanted;
}

async function remove(parts: Parts, request: DeleteListenerRequest, caller: Caller): Promise<Message> {
  return removeChild(parts, 'DeleteListener', listeners, request, caller, async ({ tx, by }, begun, id) => {
    const [gone] = await listeners.markDeleting(tx, begun, by, 'id', id);
    return deletionOf(gone ?? {});
  });
}

/** @throws NotFound, BeingDeleted, InvalidRequest */
async function assertPoolFits(
  tx: Tx,
  { id }: LoadBalancer,
  { defaultPoolId, protocol }: WantedListener,
): Promise<void> {
  if (defaultPoolId === null) return;
  const pool = await pools.get(tx, defaultPoolId, null);
  if (pool.loadBalancerId !== id) throw new NotFound('pool', defaultPoolId);
  if (isBeingDeleted(pool)) throw new BeingDeleted('pool', defaultPoolId);
  assertProtocolsFit(protocol, pool, 'listener.default_pool_id');
}

/** @param field of the request that brings the two together. @throws InvalidRequest PROTOCOL_MISMATCH */
export function assertProtocolsFit(listener: Protocol, pool: Pick<Pool, 'protocol'>, field: string): void {
  const allowed = POOL_PROTOCOLS_OF_LISTENER[listener] ?? [];
  if (allowed.includes(pool.protocol)) return;
  const description = `must have ${allowed.join(', ')} for a listener with ${listener}, not ${pool.protocol}`;
  throw new InvalidRequest([{ field, reason: 'PROTOCOL_MISMATCH', description }]);
}
