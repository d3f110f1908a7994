import type { PendingDetail, View } from '@octavia/db';
import type { LbAlgorithm, Pool, Protocol, SessionPersistence, SessionPersistenceType } from '@octavia/domain';
import type {
  Pool as Message,
  LbAlgorithm as ProtoLbAlgorithm,
  Protocol as ProtoProtocol,
  SessionPersistence as ProtoSessionPersistence,
  SessionPersistence_Type,
} from '@octavia/proto';
import { CAPABILITIES } from '@octavia/render';
import { OUTPUT_PATHS, type Paths } from '../check/update-mask.ts';
import type { Violations } from '../check/violations.ts';
import { enumOf, wordOf } from './enums.ts';
import { writeIntent } from './status.ts';

/** Token of RFC 6265, section 4.1.1. */
const COOKIE_NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

export const POOL_PATHS: Paths = {
  mutable: ['name', 'description', 'admin_state_up', 'tags', 'lb_algorithm', 'session_persistence'],
  immutable: ['load_balancer_id', 'protocol'],
  output: [...OUTPUT_PATHS, 'project_id', 'listener_ids', 'member_ids', 'health_monitor_id'],
};

/** What a caller asks for. Null load balancer: that of the listener that the request names. */
export interface WantedPool
  extends Pick<
    Pool,
    'name' | 'description' | 'adminStateUp' | 'tags' | 'protocol' | 'lbAlgorithm' | 'sessionPersistence'
  > {
  readonly loadBalancerId: string | null;
}

export function readPool(message: Message, check: Violations): WantedPool {
  const protocol = wordOf<Protocol>('PROTOCOL_', message.protocol);
  const algorithm = wordOf<LbAlgorithm>('LB_ALGORITHM_', message.lbAlgorithm);
  return {
    name: check.text('name', message.name),
    description: check.text('description', message.description),
    adminStateUp: message.adminStateUp ?? true,
    tags: check.tags(message.tags),
    loadBalancerId: check.optionalUuid('load_balancer_id', message.loadBalancerId),
    protocol: check.served('protocol', protocol, CAPABILITIES.poolProtocols),
    lbAlgorithm: check.served('lb_algorithm', algorithm, CAPABILITIES.lbAlgorithms),
    sessionPersistence: readSessionPersistence(message.sessionPersistence, check),
  };
}

function readSessionPersistence(
  message: ProtoSessionPersistence | undefined,
  check: Violations,
): SessionPersistence | null {
  if (message === undefined) return null;
  const type = wordOf<SessionPersistenceType>('TYPE_', message.type);
  const cookiePath = 'session_persistence.cookie_name';
  const cookieName = check.text(cookiePath, message.cookieName);
  if (type === 'APP_COOKIE' && cookieName === '') check.add(cookiePath, 'REQUIRED', 'is required for APP_COOKIE');
  if (type !== 'APP_COOKIE' && cookieName !== '') {
    check.add(cookiePath, 'NOT_ALLOWED_FOR_TYPE', 'is for APP_COOKIE only');
  }
  if (cookieName !== '' && !COOKIE_NAME.test(cookieName)) {
    check.add(cookiePath, 'INVALID_COOKIE_NAME', 'must be a cookie name by RFC 6265');
  }
  return {
    type: check.served('session_persistence.type', type, CAPABILITIES.sessionPersistenceTypes),
    cookieName: cookieName || null,
  };
}

export function writePool(view: View<Pool>, pending?: PendingDetail): Message {
  const { object, related } = view;
  return {
    ...writeIntent(view, pending),
    loadBalancerId: object.loadBalancerId,
    description: object.description,
    protocol: enumOf<ProtoProtocol>('PROTOCOL_', object.protocol),
    lbAlgorithm: enumOf<ProtoLbAlgorithm>('LB_ALGORITHM_', object.lbAlgorithm),
    sessionPersistence: writeSessionPersistence(object.sessionPersistence),
    listenerIds: [...related.listenerIds],
    memberIds: [...related.memberIds],
    healthMonitorId: related.healthMonitorId ?? '',
  };
}

function writeSessionPersistence(persistence: SessionPersistence | null): ProtoSessionPersistence | undefined {
  if (!persistence) return undefined;
  return {
    type: enumOf<SessionPersistence_Type>('TYPE_', persistence.type),
    cookieName: persistence.cookieName ?? '',
  };
}
