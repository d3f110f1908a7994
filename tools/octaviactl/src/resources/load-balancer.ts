/** What `loadbalancer …` does. */
import { LoadBalancer, LoadBalancerServiceService as service, type Topology } from '@octavia/proto';
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
import { flavors } from './flavor.ts';
import { listAction } from './list.ts';
import { byName, commonView, find, orNull, type Resource, settle, showCreated, timeView } from './resource.ts';

export const loadBalancers: Resource<LoadBalancer> = {
  noun: 'load balancer',
  get: (session, id) => session.call(service.getLoadBalancer, { id }),
  async page(session, { projectId, name, pageSize, pageToken }) {
    const reply = await session.call(service.listLoadBalancers, { projectId, name, pageSize, pageToken });
    return { items: reply.loadBalancers, nextPageToken: reply.nextPageToken };
  },
  loadBalancerId: (lb) => lb.id,
  view: (lb) =>
    byName({
      ...commonView(lb),
      description: lb.description ?? '',
      project_id: lb.projectId,
      vip_address: orNull(lb.vipAddress),
      vip_subnet_id: orNull(lb.vipSubnetId),
      vip_network_id: orNull(lb.vipNetworkId),
      vip_port_id: orNull(lb.vipPortId),
      provider: lb.provider,
      flavor_id: orNull(lb.flavorId),
      availability_zone: orNull(lb.availabilityZone),
      topology: toWord('TOPOLOGY', lb.topology),
      apolocation_group: orNull(lb.apolocationGroup),
      listeners: lb.listenerIds,
      pools: lb.poolIds,
      created_at: timeView(lb.createdAt),
      updated_at: timeView(lb.updatedAt),
      revision: lb.revision,
      applied_revision: lb.appliedRevision,
    }),
  columns: ['id', 'name', 'project_id', 'vip_address', 'provisioning_status', 'operating_status', 'provider'],
  get known() {
    return Object.keys(this.view(LoadBalancer.create()));
  },
};

interface CreateOptions extends AdminStateOptions, WaitOptions {
  readonly name?: string;
  readonly description?: string;
  readonly vipSubnetId?: string;
  readonly vipAddress?: string;
  readonly provider?: string;
  readonly flavor?: string;
  readonly availabilityZone?: string;
  readonly topology?: string;
  readonly apolocationGroup?: string;
  readonly tag?: string[];
}

export const create: Action<CreateOptions> = async (session, _args, options) => {
  const flavorId = options.flavor && (await find(session, flavors, options.flavor)).id;
  const created = await session.change(service.createLoadBalancer, {
    loadBalancer: LoadBalancer.create({
      name: options.name,
      description: options.description,
      adminStateUp: adminStateUp(options),
      projectId: session.globals.project,
      vipSubnetId: options.vipSubnetId,
      vipAddress: options.vipAddress,
      provider: options.provider,
      flavorId,
      availabilityZone: options.availabilityZone,
      topology: options.topology === undefined ? undefined : fromWord<Topology>('TOPOLOGY', options.topology),
      apolocationGroup: options.apolocationGroup,
      tags: options.tag,
    }),
    requestId: session.requestId,
  });
  await showCreated(session, loadBalancers, created, options);
};

interface ListOptions extends FilterOptions {
  readonly vipSubnetId?: string;
  readonly vipAddress?: string;
  readonly provider?: string;
  readonly apolocationGroup?: string;
}

export const list = listAction<LoadBalancer, ListOptions>(
  loadBalancers,
  async () => undefined,
  (view, { vipSubnetId, vipAddress, provider, apolocationGroup }) =>
    (!vipSubnetId || view.vip_subnet_id === vipSubnetId) &&
    (!vipAddress || view.vip_address === vipAddress) &&
    (!provider || view.provider === provider) &&
    (!apolocationGroup || view.apolocation_group === apolocationGroup),
);

export const show: Action<object> = async (session, [reference = '']) => {
  await session.printObject(loadBalancers.view(await find(session, loadBalancers, reference)));
};

type SetOptions = AdminStateOptions &
  TagChangeOptions &
  WaitOptions & { readonly name?: string; readonly description?: string };

export const set: Action<SetOptions> = async (session, [reference = ''], options) => {
  const old = await find(session, loadBalancers, reference);
  const tags = changedTags(old, options);
  const { name, description } = options;
  await update(session, old, { name, description, adminStateUp: adminStateUp(options), tags }, options);
};

type UnsetOptions = TagRemovalOptions & WaitOptions & { readonly name?: true; readonly description?: true };

export const unset: Action<UnsetOptions> = async (session, [reference = ''], options) => {
  const old = await find(session, loadBalancers, reference);
  const name = options.name && '';
  const description = options.description && '';
  await update(session, old, { name, description, tags: remainingTags(old, options) }, options);
};

async function update(
  session: Parameters<Action<object>>[0],
  old: LoadBalancer,
  wanted: Values<LoadBalancer>,
  options: WaitOptions,
): Promise<void> {
  const { values, updateMask } = change(wanted);
  const changed = await session.change(service.updateLoadBalancer, {
    loadBalancer: LoadBalancer.fromPartial({ ...values, id: old.id, etag: etagFor(old, wanted.tags) }),
    updateMask,
    requestId: session.requestId,
  });
  await settle(session, loadBalancers, changed, 'in place', options);
}

export const remove: Action<WaitOptions & { readonly cascade?: true }> = async (session, [reference = ''], options) => {
  const old = await find(session, loadBalancers, reference);
  const deleted = await session.change(service.deleteLoadBalancer, {
    id: old.id,
    cascade: options.cascade ?? false,
    etag: '',
    requestId: session.requestId,
  });
  await settle(session, loadBalancers, deleted, 'gone', options);
};

export const failover: Action<WaitOptions> = async (session, [reference = ''], options) => {
  const old = await find(session, loadBalancers, reference);
  const changed = await session.change(service.failoverLoadBalancer, { id: old.id, requestId: session.requestId });
  await settle(session, loadBalancers, changed, 'in place', options);
};
