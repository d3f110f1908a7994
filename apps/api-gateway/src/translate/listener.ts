import type { PendingDetail, View } from '@octavia/db';
import type { Listener, Protocol } from '@octavia/domain';
import type { Listener as Message, Protocol as ProtoProtocol } from '@octavia/proto';
import { CAPABILITIES } from '@octavia/render';
import { OUTPUT_PATHS, type Paths } from '../check/update-mask.ts';
import type { Violations } from '../check/violations.ts';
import { enumOf, wordOf } from './enums.ts';
import { writeIntent } from './status.ts';

/** 24 days, in milliseconds. Source: Octavia. */
const MAX_TIMEOUT_MS = 2_073_600_000;
/** Source: the contract; a thousandfold of what one amphora usually carries. */
const MAX_CONNECTIONS = 1_000_000;
const UNLIMITED = -1;

/** Protocols whose requests we can add headers to. Source: Octavia, insert_headers. */
const WITH_HEADERS: readonly Protocol[] = ['HTTP', 'TERMINATED_HTTPS'];
const HEADERS: readonly string[] = ['X-Forwarded-For', 'X-Forwarded-Port', 'X-Forwarded-Proto'];

export const LISTENER_PATHS: Paths = {
  mutable: [
    'name',
    'description',
    'admin_state_up',
    'tags',
    'connection_limit',
    'default_pool_id',
    'insert_headers',
    'timeout_client_data',
    'timeout_member_connect',
    'timeout_member_data',
    'timeout_tcp_inspect',
  ],
  immutable: ['load_balancer_id', 'protocol', 'protocol_port'],
  output: [...OUTPUT_PATHS, 'project_id'],
};

/** What a caller asks for. */
export type WantedListener = Pick<
  Listener,
  | 'name'
  | 'description'
  | 'adminStateUp'
  | 'tags'
  | 'loadBalancerId'
  | 'protocol'
  | 'protocolPort'
  | 'connectionLimit'
  | 'defaultPoolId'
  | 'insertHeaders'
  | 'timeoutClientData'
  | 'timeoutMemberConnect'
  | 'timeoutMemberData'
  | 'timeoutTcpInspect'
>;

export function readListener(message: Message, check: Violations): WantedListener {
  const timeout = (path: string, value: number | undefined, fallback: number): number =>
    check.integer(path, value, { min: 0, max: MAX_TIMEOUT_MS, default: fallback });
  const protocol = wordOf<Protocol>('PROTOCOL_', message.protocol);
  return {
    name: check.text('name', message.name),
    description: check.text('description', message.description),
    adminStateUp: message.adminStateUp ?? true,
    tags: check.tags(message.tags),
    loadBalancerId: check.uuid('load_balancer_id', message.loadBalancerId),
    protocol: check.served('protocol', protocol, CAPABILITIES.listenerProtocols),
    protocolPort: check.port('protocol_port', message.protocolPort),
    connectionLimit: readConnectionLimit(message.connectionLimit, check),
    defaultPoolId: check.optionalUuid('default_pool_id', message.defaultPoolId),
    insertHeaders: readHeaders(message.insertHeaders, protocol, check),
    timeoutClientData: timeout('timeout_client_data', message.timeoutClientData, 50_000),
    timeoutMemberConnect: timeout('timeout_member_connect', message.timeoutMemberConnect, 5_000),
    timeoutMemberData: timeout('timeout_member_data', message.timeoutMemberData, 50_000),
    timeoutTcpInspect: timeout('timeout_tcp_inspect', message.timeoutTcpInspect, 0),
  };
}

function readConnectionLimit(value: number | undefined, check: Violations): number {
  if (value === UNLIMITED || value === undefined) return UNLIMITED;
  return check.integer('connection_limit', value, { min: 1, max: MAX_CONNECTIONS });
}

function readHeaders(
  headers: Readonly<Record<string, string>>,
  protocol: Protocol | null,
  check: Violations,
): Readonly<Record<string, string>> {
  const names = Object.keys(headers);
  if (names.length > 0 && protocol !== null && !WITH_HEADERS.includes(protocol)) {
    check.add('insert_headers', 'NOT_ALLOWED_FOR_PROTOCOL', `is for ${WITH_HEADERS[0]} listeners only`);
  }
  if (names.some((name) => !HEADERS.includes(name))) {
    check.add('insert_headers', 'UNKNOWN_HEADER', `must be among ${HEADERS.join(', ')}`);
  }
  if (Object.values(headers).some((value) => value !== 'true' && value !== 'false')) {
    check.add('insert_headers', 'INVALID_VALUE', 'must have the values true or false');
  }
  // In one order, so that the same headers are the same value.
  return Object.fromEntries(Object.entries(headers).sort(([a], [b]) => (a < b ? -1 : 1)));
}

export function writeListener(view: View<Listener>, pending?: PendingDetail): Message {
  const { object } = view;
  return {
    ...writeIntent(view, pending),
    loadBalancerId: object.loadBalancerId,
    description: object.description,
    protocol: enumOf<ProtoProtocol>('PROTOCOL_', object.protocol),
    protocolPort: object.protocolPort,
    connectionLimit: object.connectionLimit,
    defaultPoolId: object.defaultPoolId ?? '',
    insertHeaders: { ...object.insertHeaders },
    timeoutClientData: object.timeoutClientData,
    timeoutMemberConnect: object.timeoutMemberConnect,
    timeoutMemberData: object.timeoutMemberData,
    timeoutTcpInspect: object.timeoutTcpInspect,
  };
}
