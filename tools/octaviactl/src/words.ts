/** The words of Octavia and its command line, and how the contract spells them. The only place that knows both. */
import type {
  AmphoraStatus,
  FlowState,
  HealthMonitorType,
  LbAlgorithm,
  OperatingStatus,
  Protocol,
  ProvisioningStatus,
  SessionPersistence_Type,
  Topology,
} from '@octavia/proto';

type Bare<Value extends string, Prefix extends string> = Value extends `${Prefix}_${infer Word}`
  ? Exclude<Word, 'UNSPECIFIED'>
  : never;

export const LISTENER_PROTOCOLS = [
  'HTTP',
  'TCP',
  'HTTPS',
  'TERMINATED_HTTPS',
  'UDP',
  'SCTP',
  'PROMETHEUS',
] as const satisfies readonly Bare<Protocol, 'PROTOCOL'>[];

export const POOL_PROTOCOLS = [
  'HTTP',
  'TCP',
  'HTTPS',
  'PROXY',
  'PROXYV2',
  'UDP',
  'SCTP',
] as const satisfies readonly Bare<Protocol, 'PROTOCOL'>[];

export const LB_ALGORITHMS = [
  'ROUND_ROBIN',
  'LEAST_CONNECTIONS',
  'SOURCE_IP',
  'SOURCE_IP_PORT',
] as const satisfies readonly Bare<LbAlgorithm, 'LB_ALGORITHM'>[];

export const PERSISTENCE_TYPES = ['SOURCE_IP', 'HTTP_COOKIE', 'APP_COOKIE'] as const satisfies readonly Bare<
  SessionPersistence_Type,
  'TYPE'
>[];

type Hyphened<Word extends string> = Word extends `${infer Before}_${infer After}` ? `${Before}-${After}` : Word;

/** With hyphens, as the OpenStack client spells them. */
export const HEALTH_MONITOR_TYPES = [
  'HTTP',
  'HTTPS',
  'PING',
  'TCP',
  'TLS-HELLO',
  'UDP-CONNECT',
  'SCTP',
] as const satisfies readonly Hyphened<Bare<HealthMonitorType, 'HEALTH_MONITOR_TYPE'>>[];

export const HTTP_METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'TRACE', 'OPTIONS', 'CONNECT', 'PATCH'] as const;

export const PROVISIONING_STATUSES = [
  'ACTIVE',
  'PENDING_CREATE',
  'PENDING_UPDATE',
  'PENDING_DELETE',
  'DELETED',
  'ERROR',
] as const satisfies readonly Bare<ProvisioningStatus, 'PROVISIONING_STATUS'>[];

export const OPERATING_STATUSES = [
  'ONLINE',
  'OFFLINE',
  'DEGRADED',
  'ERROR',
  'NO_MONITOR',
  'DRAINING',
] as const satisfies readonly Bare<OperatingStatus, 'OPERATING_STATUS'>[];

export const TOPOLOGIES = ['SINGLE', 'ACTIVE_STANDBY'] as const satisfies readonly Bare<Topology, 'TOPOLOGY'>[];

export const AMPHORA_STATUSES = [
  'BOOTING',
  'READY',
  'ALLOCATED',
  'PENDING_DELETE',
  'DELETED',
  'ERROR',
  'PRESERVED',
] as const satisfies readonly Bare<AmphoraStatus, 'AMPHORA_STATUS'>[];

export const FLOW_STATES = ['QUEUED', 'RUNNING', 'SUCCEEDED', 'FAILED', 'CANCELLED'] as const satisfies readonly Bare<
  FlowState,
  'FLOW_STATE'
>[];

export const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace'] as const;

/** The processes that `log level` can name. */
export const SERVICES = ['api-gateway', 'worker', 'health', 'heartbeat-udp', 'housekeeping'] as const;

/** The prefixes that the contract gives to the values of its enums. */
export type EnumPrefix =
  | 'PROTOCOL'
  | 'LB_ALGORITHM'
  | 'TYPE'
  | 'HEALTH_MONITOR_TYPE'
  | 'PROVISIONING_STATUS'
  | 'OPERATING_STATUS'
  | 'AMPHORA_STATUS'
  | 'ORPHAN_SIDE'
  | 'AMPHORA_ROLE'
  | 'SEAT_STATE'
  | 'TOPOLOGY'
  | 'FLOW_STATE'
  | 'FLOW_STEP_STATE'
  | 'CHANGE_KIND';

/** Octavia's word for a value of the contract; null for "unspecified". */
export function toWord(prefix: EnumPrefix, value: string): string | null {
  const bare = value.startsWith(`${prefix}_`) ? value.slice(prefix.length + 1) : value;
  if (bare === 'UNSPECIFIED') return null;
  return prefix === 'HEALTH_MONITOR_TYPE' ? bare.replace('_', '-') : bare;
}

/** The contract's value for one of the words above. */
export function fromWord<Value extends string>(prefix: EnumPrefix, word: string): Value {
  return `${prefix}_${word.replace('-', '_')}` as Value;
}
