/** What `loadbalancer healthmonitor …` does. */
import { HealthMonitor, HealthMonitorServiceService as service } from '@octavia/proto';
import type { Action } from '../grammar.ts';
import {
  type AdminStateOptions,
  adminStateUp,
  type TagChangeOptions,
  type TagRemovalOptions,
  type WaitOptions,
} from '../options.ts';
import type { Session } from '../session.ts';
import { fromWord, toWord } from '../words.ts';
import { change, changedTags, etagFor, remainingTags, type Values } from './change.ts';
import type { FilterOptions } from './filter.ts';
import { listAction } from './list.ts';
import { pools } from './pool.ts';
import { byName, commonView, find, orNull, type Resource, settle, showCreated, timeView } from './resource.ts';

/** The contract's defaults, to which `unset` returns. */
const DEFAULTS = { maxRetriesDown: 3, httpMethod: 'GET', urlPath: '/', expectedCodes: '200' } as const;

export const healthMonitors: Resource<HealthMonitor> = {
  noun: 'health monitor',
  get: (session, id) => session.call(service.getHealthMonitor, { id }),
  async page(session, { projectId, name, parentId, pageSize, pageToken }) {
    const query = { projectId, name, poolId: parentId, pageSize, pageToken };
    const reply = await session.call(service.listHealthMonitors, query);
    return { items: reply.healthMonitors, nextPageToken: reply.nextPageToken };
  },
  loadBalancerId: (monitor) => monitor.loadBalancerId,
  view: (monitor) =>
    byName({
      ...commonView(monitor),
      project_id: monitor.projectId,
      pools: monitor.poolId ? [monitor.poolId] : [],
      type: toWord('HEALTH_MONITOR_TYPE', monitor.type),
      delay: monitor.delay ?? null,
      timeout: monitor.timeout ?? null,
      max_retries: monitor.maxRetries ?? null,
      max_retries_down: monitor.maxRetriesDown ?? DEFAULTS.maxRetriesDown,
      http_method: orNull(monitor.httpMethod),
      url_path: orNull(monitor.urlPath),
      expected_codes: orNull(monitor.expectedCodes),
      http_version: orNull(monitor.httpVersion),
      domain_name: orNull(monitor.domainName),
      created_at: timeView(monitor.createdAt),
      updated_at: timeView(monitor.updatedAt),
    }),
  columns: ['id', 'name', 'project_id', 'type', 'admin_state_up'],
  get known() {
    return Object.keys(this.view(HealthMonitor.create()));
  },
};

interface HealthMonitorOptions extends AdminStateOptions, WaitOptions {
  readonly name?: string;
  readonly delay?: number;
  readonly timeout?: number;
  readonly maxRetries?: number;
  readonly maxRetriesDown?: number;
  readonly httpMethod?: string;
  readonly urlPath?: string;
  readonly expectedCodes?: string;
  readonly httpVersion?: string;
  readonly domainName?: string;
}

type CreateOptions = HealthMonitorOptions & { readonly type: string; readonly tag?: string[] };

export const create: Action<CreateOptions> = async (session, [poolReference = ''], options) => {
  const pool = await find(session, pools, poolReference);
  const created = await session.change(service.createHealthMonitor, {
    healthMonitor: HealthMonitor.create({
      ...settings(options),
      poolId: pool.id,
      type: fromWord('HEALTH_MONITOR_TYPE', options.type),
      tags: options.tag,
    }),
    requestId: session.requestId,
  });
  await showCreated(session, healthMonitors, created, options);
};

/** What `create` and `set` share. */
function settings(options: HealthMonitorOptions): Values<HealthMonitor> {
  return {
    name: options.name,
    adminStateUp: adminStateUp(options),
    delay: options.delay,
    timeout: options.timeout,
    maxRetries: options.maxRetries,
    maxRetriesDown: options.maxRetriesDown,
    httpMethod: options.httpMethod,
    urlPath: options.urlPath,
    expectedCodes: options.expectedCodes,
    httpVersion: options.httpVersion,
    domainName: options.domainName,
  };
}

export const list = listAction<HealthMonitor, FilterOptions & { readonly pool?: string }>(
  healthMonitors,
  async (session, _args, { pool }) => (pool === undefined ? undefined : (await find(session, pools, pool)).id),
);

export const show: Action<object> = async (session, [reference = '']) => {
  await session.printObject(healthMonitors.view(await find(session, healthMonitors, reference)));
};

export const set: Action<HealthMonitorOptions & TagChangeOptions> = async (session, [reference = ''], options) => {
  const old = await find(session, healthMonitors, reference);
  await update(session, old, { ...settings(options), tags: changedTags(old, options) }, options);
};

type UnsetOptions = TagRemovalOptions &
  WaitOptions & { readonly [Name in 'name' | 'httpVersion' | 'domainName' | keyof typeof DEFAULTS]?: true };

export const unset: Action<UnsetOptions> = async (session, [reference = ''], options) => {
  const old = await find(session, healthMonitors, reference);
  const wanted: Values<HealthMonitor> = {
    name: options.name && '',
    maxRetriesDown: options.maxRetriesDown && DEFAULTS.maxRetriesDown,
    httpMethod: options.httpMethod && DEFAULTS.httpMethod,
    urlPath: options.urlPath && DEFAULTS.urlPath,
    expectedCodes: options.expectedCodes && DEFAULTS.expectedCodes,
    tags: remainingTags(old, options),
  };
  const withoutDefault = ['httpVersion', 'domainName'] as const;
  await update(
    session,
    old,
    wanted,
    options,
    withoutDefault.filter((name) => options[name]),
  );
};

async function update(
  session: Session,
  old: HealthMonitor,
  wanted: Values<HealthMonitor>,
  options: WaitOptions,
  cleared: readonly (keyof HealthMonitor)[] = [],
): Promise<void> {
  const { values, updateMask } = change(wanted, cleared);
  const changed = await session.change(service.updateHealthMonitor, {
    healthMonitor: HealthMonitor.create({ ...values, id: old.id, etag: etagFor(old, wanted.tags) }),
    updateMask,
    requestId: session.requestId,
  });
  await settle(session, healthMonitors, changed, 'in place', options);
}

export const remove: Action<WaitOptions> = async (session, [reference = ''], options) => {
  const { id } = await find(session, healthMonitors, reference);
  const deleted = await session.change(service.deleteHealthMonitor, { id, etag: '', requestId: session.requestId });
  await settle(session, healthMonitors, deleted, 'gone', options);
};
