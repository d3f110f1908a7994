/** What `loadbalancer listener …` does. */
import { Listener, ListenerServiceService as service } from '@octavia/proto';
import type { Action } from '../grammar.ts';
import {
  type AdminStateOptions,
  adminStateUp,
  type TagChangeOptions,
  type TagRemovalOptions,
  type WaitOptions,
} from '../options.ts';
import { fromWord, toWord } from '../words.ts';
import { change, changedTags, etagFor, remainingTags, type Values } from './change.ts';
import type { FilterOptions } from './filter.ts';
import { listAction } from './list.ts';
import { loadBalancers } from './load-balancer.ts';
import { pools } from './pool.ts';
import { byName, commonView, find, orNull, type Resource, settle, showCreated, timeView } from './resource.ts';

/** The contract's defaults, to which `unset` returns. */
const DEFAULTS = {
  connectionLimit: -1,
  timeoutClientData: 50_000,
  timeoutMemberConnect: 5_000,
  timeoutMemberData: 50_000,
  timeoutTcpInspect: 0,
} as const;

export const listeners: Resource<Listener> = {
  noun: 'listener',
  get: (session, id) => session.call(service.getListener, { id }),
  async page(session, { projectId, name, parentId, pageSize, pageToken }) {
    const query = { projectId, name, loadBalancerId: parentId, pageSize, pageToken };
    const reply = await session.call(service.listListeners, query);
    return { items: reply.listeners, nextPageToken: reply.nextPageToken };
  },
  loadBalancerId: (listener) => listener.loadBalancerId,
  view: (listener) =>
    byName({
      ...commonView(listener),
      description: listener.description ?? '',
      project_id: listener.projectId,
      loadbalancers: listener.loadBalancerId ? [listener.loadBalancerId] : [],
      protocol: toWord('PROTOCOL', listener.protocol),
      protocol_port: listener.protocolPort,
      connection_limit: listener.connectionLimit ?? DEFAULTS.connectionLimit,
      default_pool_id: orNull(listener.defaultPoolId),
      insert_headers: Object.keys(listener.insertHeaders).length > 0 ? listener.insertHeaders : null,
      timeout_client_data: listener.timeoutClientData ?? DEFAULTS.timeoutClientData,
      timeout_member_connect: listener.timeoutMemberConnect ?? DEFAULTS.timeoutMemberConnect,
      timeout_member_data: listener.timeoutMemberData ?? DEFAULTS.timeoutMemberData,
      timeout_tcp_inspect: listener.timeoutTcpInspect ?? DEFAULTS.timeoutTcpInspect,
      created_at: timeView(listener.createdAt),
      updated_at: timeView(listener.updatedAt),
    }),
  columns: ['id', 'default_pool_id', 'name', 'project_id', 'protocol', 'protocol_port', 'admin_state_up'],
  get known() {
    return Object.keys(this.view(Listener.create()));
  },
};

interface ListenerOptions extends AdminStateOptions, WaitOptions {
  readonly name?: string;
  readonly description?: string;
  readonly connectionLimit?: number;
  readonly defaultPool?: string;
  readonly insertHeaders?: Record<string, string>;
  readonly timeoutClientData?: number;
  readonly timeoutMemberConnect?: number;
  readonly timeoutMemberData?: number;
  readonly timeoutTcpInspect?: number;
}

type CreateOptions = ListenerOptions & {
  readonly protocol: string;
  readonly protocolPort: number;
  readonly tag?: string[];
};

export const create: Action<CreateOptions> = async (session, [reference = ''], options) => {
  const lb = await find(session, loadBalancers, reference);
  const pool = options.defaultPool ? await find(session, pools, options.defaultPool, lb.id) : undefined;
  const created = await session.change(service.createListener, {
    listener: Listener.create({
      ...settings(options),
      loadBalancerId: lb.id,
      protocol: fromWord('PROTOCOL', options.protocol),
      protocolPort: options.protocolPort,
      defaultPoolId: pool?.id,
      tags: options.tag,
    }),
    requestId: session.requestId,
  });
  await showCreated(session, listeners, created, options);
};

/** What `create` and `set` share. */
function settings(options: ListenerOptions): Values<Listener> {
  return {
    name: options.name,
    description: options.description,
    adminStateUp: adminStateUp(options),
    connectionLimit: options.connectionLimit,
    insertHeaders: options.insertHeaders,
    timeoutClientData: options.timeoutClientData,
    timeoutMemberConnect: options.timeoutMemberConnect,
    timeoutMemberData: options.timeoutMemberData,
    timeoutTcpInspect: options.timeoutTcpInspect,
  };
}

export const list = listAction<Listener, FilterOptions & { readonly loadbalancer?: string }>(
  listeners,
  async (session, _args, { loadbalancer }) =>
    loadbalancer === undefined ? undefined : (await find(session, loadBalancers, loadbalancer)).id,
);

export const show: Action<object> = async (session, [reference = '']) => {
  await session.printObject(listeners.view(await find(session, listeners, reference)));
};

export const set: Action<ListenerOptions & TagChangeOptions> = async (session, [reference = ''], options) => {
  const old = await find(session, listeners, reference);
  const pool = options.defaultPool ? await find(session, pools, options.defaultPool, old.loadBalancerId) : undefined;
  const wanted = { ...settings(options), defaultPoolId: pool?.id, tags: changedTags(old, options) };
  await update(session, old, wanted, options);
};

type Flags<Key extends string> = { readonly [Name in Key]?: true };
type UnsetOptions = TagRemovalOptions &
  WaitOptions &
  Flags<'name' | 'description' | 'defaultPool' | 'insertHeaders' | keyof typeof DEFAULTS>;

export const unset: Action<UnsetOptions> = async (session, [reference = ''], options) => {
  const old = await find(session, listeners, reference);
  const wanted: Values<Listener> = {
    name: options.name && '',
    description: options.description && '',
    defaultPoolId: options.defaultPool && '',
    insertHeaders: options.insertHeaders && {},
    connectionLimit: options.connectionLimit && DEFAULTS.connectionLimit,
    timeoutClientData: options.timeoutClientData && DEFAULTS.timeoutClientData,
    timeoutMemberConnect: options.timeoutMemberConnect && DEFAULTS.timeoutMemberConnect,
    timeoutMemberData: options.timeoutMemberData && DEFAULTS.timeoutMemberData,
    timeoutTcpInspect: options.timeoutTcpInspect && DEFAULTS.timeoutTcpInspect,
    tags: remainingTags(old, options),
  };
  await update(session, old, wanted, options);
};

async function update(
  session: Parameters<Action<object>>[0],
  old: Listener,
  wanted: Values<Listener>,
  options: WaitOptions,
): Promise<void> {
  const { values, updateMask } = change(wanted);
  const changed = await session.change(service.updateListener, {
    listener: Listener.create({ ...values, id: old.id, etag: etagFor(old, wanted.tags) }),
    updateMask,
    requestId: session.requestId,
  });
  await settle(session, listeners, changed, 'in place', options);
}

export const remove: Action<WaitOptions> = async (session, [reference = ''], options) => {
  const { id } = await find(session, listeners, reference);
  const deleted = await session.change(service.deleteListener, { id, etag: '', requestId: session.requestId });
  await settle(session, listeners, deleted, 'gone', options);
};
