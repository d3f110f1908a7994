import type { PendingDetail, View } from '@octavia/db';
import type { LoadBalancer, Topology } from '@octavia/domain';
import type { LoadBalancer as Message, Topology as TopologyMessage } from '@octavia/proto';
import { OUTPUT_PATHS, type Paths } from '../check/update-mask.ts';
import type { Violations } from '../check/violations.ts';
import { enumOf, wordOf } from './enums.ts';
import { writeIntent } from './status.ts';

/** Longest project id, in characters. Source: Octavia, 36. */
const MAX_PROJECT_ID = 36;
/** Longest name of an apolocation group, in characters: as long as the column. */
const MAX_APOLOCATION_GROUP = 64;
/** What cannot be seen: groups that look alike are the same. */
const INVISIBLE = /[\p{C}\p{Zl}\p{Zp}]/u;

export const LOAD_BALANCER_PATHS: Paths = {
  mutable: ['name', 'description', 'admin_state_up', 'tags'],
  immutable: [
    'project_id',
    'vip_address',
    'vip_subnet_id',
    'provider',
    'flavor_id',
    'availability_zone',
    'topology',
    'apolocation_group',
  ],
  output: [
    ...OUTPUT_PATHS,
    'vip_network_id',
    'vip_port_id',
    'listener_ids',
    'pool_ids',
    'revision',
    'applied_revision',
  ],
};

/** What a caller may change. */
export type LoadBalancerValues = Pick<LoadBalancer, 'name' | 'description' | 'adminStateUp' | 'tags'>;

/** What a caller asks for at the start. */
export interface WantedLoadBalancer extends LoadBalancerValues {
  readonly projectId: string;
  /** Null: any free one. */
  readonly vipAddress: string | null;
  /** Null: the default one. */
  readonly vipSubnetId: string | null;
  readonly flavorId: string | null;
  /** Its name. */
  readonly availabilityZone: string | null;
  /** Null: that of the flavor, or the default. */
  readonly topology: Topology | null;
  /** Null: of no group. */
  readonly apolocationGroup: string | null;
}

export function readLoadBalancerValues(message: Message, check: Violations): LoadBalancerValues {
  return {
    name: check.text('name', message.name),
    description: check.text('description', message.description),
    adminStateUp: message.adminStateUp ?? true,
    tags: check.tags(message.tags),
  };
}

export function readLoadBalancer(message: Message, callersProjectId: string, check: Violations): WantedLoadBalancer {
  const projectId = check.text('project_id', message.projectId || callersProjectId, MAX_PROJECT_ID);
  if (projectId === '') check.add('project_id', 'REQUIRED', 'is required, because the call is for no project');
  if (message.provider !== '' && message.provider !== 'amphora') {
    check.add('provider', 'PROVIDER_NOT_ENABLED', 'must be amphora, or empty');
  }
  return {
    ...readLoadBalancerValues(message, check),
    projectId,
    vipAddress: check.optionalAddress('vip_address', message.vipAddress),
    vipSubnetId: check.optionalUuid('vip_subnet_id', message.vipSubnetId),
    flavorId: check.optionalUuid('flavor_id', message.flavorId),
    availabilityZone: check.text('availability_zone', message.availabilityZone) || null,
    topology: wordOf<Topology>('TOPOLOGY_', message.topology),
    apolocationGroup: apolocationGroup(message.apolocationGroup.trim(), check),
  };
}

function apolocationGroup(name: string, check: Violations): string | null {
  const path = 'apolocation_group';
  if (INVISIBLE.test(name)) check.add(path, 'INVALID_CHARACTER', 'must have printable characters only');
  else check.text(path, name, MAX_APOLOCATION_GROUP);
  return name || null;
}

export function writeLoadBalancer(view: View<LoadBalancer>, pending?: PendingDetail): Message {
  const { object, related } = view;
  return {
    ...writeIntent(view, pending),
    description: object.description,
    vipAddress: object.vip.address ?? '',
    vipSubnetId: object.vip.subnetId,
    vipNetworkId: object.vip.networkId ?? '',
    vipPortId: object.vip.portId ?? '',
    provider: object.provider,
    flavorId: object.flavorId ?? '',
    availabilityZone: object.availabilityZone ?? '',
    topology: enumOf<TopologyMessage>('TOPOLOGY_', object.topology),
    listenerIds: [...related.listenerIds],
    poolIds: [...related.poolIds],
    revision: object.desiredRevision,
    appliedRevision: related.servedRevision,
    apolocationGroup: object.apolocationGroup ?? '',
  };
}
