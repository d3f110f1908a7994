/** What `loadbalancer pool …` does. */
import { Pool, SessionPersistence, PoolServiceService as service } from '@octavia/proto';
import { usageError } from '../errors.ts';
import type { Action } from '../grammar.ts';
import {
  type AdminStateOptions,
  adminStateUp,
  type TagChangeOptions,
  type TagRemovalOptions,
  type WaitOptions,
} from '../options.ts';
import type { Cell } from '../output/format.ts';
import { fromWord, PERSISTENCE_TYPES, toWord } from '../words.ts';
import { change, changedTags, etagFor, remainingTags, type Values } from './change.ts';
import type { FilterOptions } from './filter.ts';
import { listAction } from './list.ts';
import { listeners } from './listener.ts';
import { loadBalancers } from './load-balancer.ts';
import { byName, commonView, find, orNull, type Resource, settle, showCreated, timeView } from './resource.ts';

export const pools: Resource<Pool> = {
  noun: 'pool',
  get: (session, id) => session.call(service.getPool, { id }),
  async page(session, { projectId, name, parentId, pageSize, pageToken }) {
    const query = { projectId, name, loadBalancerId: parentId, pageSize, pageToken };
    const reply = await session.call(service.listPools, query);
    return { items: reply.pools, nextPageToken: reply.nextPageToken };
  },
  loadBalancerId: (pool) => pool.loadBalancerId,
  view: (pool) =>
    byName({
      ...commonView(pool),
      description: pool.description ?? '',
      project_id: pool.projectId,
      loadbalancers: pool.loadBalancerId ? [pool.loadBalancerId] : [],
      listeners: pool.listenerIds,
      members: pool.memberIds,
      healthmonitor_id: orNull(pool.healthMonitorId),
      protocol: toWord('PROTOCOL', pool.protocol),
      lb_algorithm: toWord('LB_ALGORITHM', pool.lbAlgorithm),
      session_persistence: persistenceView(pool.sessionPersistence),
      created_at: timeView(pool.createdAt),
      updated_at: timeView(pool.updatedAt),
    }),
  columns: ['id', 'name', 'project_id', 'provisioning_status', 'protocol', 'lb_algorithm', 'admin_state_up'],
  get known() {
    return Object.keys(this.view(Pool.create()));
  },
};

function persistenceView(persistence: SessionPersistence | undefined): Cell {
  if (!persistence) return null;
  const type = toWord('TYPE', persistence.type);
  return persistence.cookieName ? { type, cookie_name: persistence.cookieName } : { type };
}

/** Reads `type=APP_COOKIE,cookie_name=sid`. @throws CliError USAGE */
function parsePersistence(pairs: Record<string, string> | undefined): SessionPersistence | undefined {
  if (!pairs) return undefined;
  const { type = '', cookie_name: cookieName = '', ...others } = pairs;
  const word = PERSISTENCE_TYPES.find((candidate) => candidate === type.toUpperCase());
  const [unknown] = Object.keys(others);
  if (word && unknown === undefined) return SessionPersistence.create({ type: fromWord('TYPE', word), cookieName });
  const fault = word ? `${unknown} is not known` : `type must be one of ${PERSISTENCE_TYPES.join(', ')}`;
  throw usageError(
    `--session-persistence: ${fault}.`,
    'Such as: --session-persistence type=APP_COOKIE,cookie_name=sid',
  );
}

interface PoolOptions extends AdminStateOptions, WaitOptions {
  readonly name?: string;
  readonly description?: string;
  readonly lbAlgorithm?: string;
  readonly sessionPersistence?: Record<string, string>;
}

type CreateOptions = PoolOptions & {
  readonly protocol: string;
  readonly listener?: string;
  readonly loadbalancer?: string;
  readonly tag?: string[];
};

export const create: Action<CreateOptions> = async (session, _args, options) => {
  if (options.listener === undefined && options.loadbalancer === undefined) {
    throw usageError('Say where the pool belongs: --listener or --loadbalancer.');
  }
  const persistence = parsePersistence(options.sessionPersistence);
  const listener = options.listener === undefined ? undefined : await find(session, listeners, options.listener);
  const lb = options.loadbalancer === undefined ? undefined : await find(session, loadBalancers, options.loadbalancer);
  const created = await session.change(service.createPool, {
    pool: Pool.create({
      ...settings(options),
      loadBalancerId: lb?.id ?? listener?.loadBalancerId,
      protocol: fromWord('PROTOCOL', options.protocol),
      sessionPersistence: persistence,
      tags: options.tag,
    }),
    listenerId: listener?.id ?? '',
    requestId: session.requestId,
  });
  await showCreated(session, pools, created, options);
};

/** What `create` and `set` share. */
function settings(options: PoolOptions): Values<Pool> {
  return {
    name: options.name,
    description: options.description,
    adminStateUp: adminStateUp(options),
    lbAlgorithm: options.lbAlgorithm === undefined ? undefined : fromWord('LB_ALGORITHM', options.lbAlgorithm),
  };
}

export const list = listAction<Pool, FilterOptions & { readonly loadbalancer?: string }>(
  pools,
  async (session, _args, { loadbalancer }) =>
    loadbalancer === undefined ? undefined : (await find(session, loadBalancers, loadbalancer)).id,
);

export const show: Action<object> = async (session, [reference = '']) => {
  await session.printObject(pools.view(await find(session, pools, reference)));
};

export const set: Action<PoolOptions & TagChangeOptions> = async (session, [reference = ''], options) => {
  const sessionPersistence = parsePersistence(options.sessionPersistence);
  const old = await find(session, pools, reference);
  await update(session, old, { ...settings(options), sessionPersistence, tags: changedTags(old, options) }, options);
};

type UnsetOptions = TagRemovalOptions &
  WaitOptions & { readonly name?: true; readonly description?: true; readonly sessionPersistence?: true };

export const unset: Action<UnsetOptions> = async (session, [reference = ''], options) => {
  const old = await find(session, pools, reference);
  const wanted: Values<Pool> = {
    name: options.name && '',
    description: options.description && '',
    tags: remainingTags(old, options),
  };
  await update(session, old, wanted, options, options.sessionPersistence ? ['sessionPersistence'] : []);
};

async function update(
  session: Parameters<Action<object>>[0],
  old: Pool,
  wanted: Values<Pool>,
  options: WaitOptions,
  cleared: readonly (keyof Pool)[] = [],
): Promise<void> {
  const { values, updateMask } = change(wanted, cleared);
  const changed = await session.change(service.updatePool, {
    pool: Pool.create({ ...values, id: old.id, etag: etagFor(old, wanted.tags) }),
    updateMask,
    requestId: session.requestId,
  });
  await settle(session, pools, changed, 'in place', options);
}

export const remove: Action<WaitOptions> = async (session, [reference = ''], options) => {
  const { id } = await find(session, pools, reference);
  const deleted = await session.change(service.deletePool, { id, etag: '', requestId: session.requestId });
  await settle(session, pools, deleted, 'gone', options);
};
