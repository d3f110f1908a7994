import type { PendingDetail, View } from '@octavia/db';
import type { Member } from '@octavia/domain';
import type { Member as Message } from '@octavia/proto';
import { OUTPUT_PATHS, type Paths } from '../check/update-mask.ts';
import type { Violations } from '../check/violations.ts';
import { writeIntent } from './status.ts';

/** Source: Octavia. */
const MAX_WEIGHT = 256;

export const MEMBER_PATHS: Paths = {
  mutable: ['name', 'admin_state_up', 'tags', 'weight', 'backup', 'monitor_address', 'monitor_port'],
  immutable: ['pool_id', 'address', 'protocol_port', 'subnet_id'],
  output: [...OUTPUT_PATHS, 'project_id', 'load_balancer_id'],
};

/** What a caller asks for. */
export type WantedMember = Pick<
  Member,
  | 'name'
  | 'adminStateUp'
  | 'tags'
  | 'poolId'
  | 'address'
  | 'protocolPort'
  | 'weight'
  | 'backup'
  | 'subnetId'
  | 'monitorAddress'
  | 'monitorPort'
>;

/** @param reservedIps canonical addresses that no member may have, such as that of the metadata service */
export function readMember(message: Message, reservedIps: ReadonlySet<string>, check: Violations): WantedMember {
  const address = check.address('address', message.address);
  const monitorAddress = check.optionalAddress('monitor_address', message.monitorAddress);
  if (reservedIps.has(address)) check.add('address', 'RESERVED_ADDRESS', 'is reserved by this deployment');
  if (monitorAddress !== null && reservedIps.has(monitorAddress)) {
    check.add('monitor_address', 'RESERVED_ADDRESS', 'is reserved by this deployment');
  }
  return {
    name: check.text('name', message.name),
    adminStateUp: message.adminStateUp ?? true,
    tags: check.tags(message.tags),
    poolId: check.uuid('pool_id', message.poolId),
    address,
    protocolPort: check.port('protocol_port', message.protocolPort),
    weight: check.integer('weight', message.weight, { min: 0, max: MAX_WEIGHT, default: 1 }),
    backup: message.backup ?? false,
    subnetId: check.optionalUuid('subnet_id', message.subnetId),
    monitorAddress,
    monitorPort: message.monitorPort ? check.port('monitor_port', message.monitorPort) : null,
  };
}

export function writeMember(view: View<Member>, pending?: PendingDetail): Message {
  const { object, related } = view;
  return {
    ...writeIntent(view, pending, object.adminStateUp && !related.healthMonitorId ? 'NO_MONITOR' : 'OFFLINE'),
    poolId: object.poolId,
    loadBalancerId: object.loadBalancerId,
    address: object.address,
    protocolPort: object.protocolPort,
    weight: object.weight,
    backup: object.backup,
    subnetId: object.subnetId ?? '',
    monitorAddress: object.monitorAddress ?? '',
    monitorPort: object.monitorPort ?? 0,
  };
}
