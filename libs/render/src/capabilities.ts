import type { HealthMonitorType, LbAlgorithm, Protocol, SessionPersistenceType, Topology } from '@octavia/domain';

/** What a provider serves. */
export interface Capabilities {
  readonly topologies: readonly Topology[];
  readonly listenerProtocols: readonly Protocol[];
  readonly poolProtocols: readonly Protocol[];
  readonly lbAlgorithms: readonly LbAlgorithm[];
  readonly healthMonitorTypes: readonly HealthMonitorType[];
  readonly sessionPersistenceTypes: readonly SessionPersistenceType[];
}

/**
 * What the amphora provider of this release serves: rendered completely, and tried with a real HAProxy. The API refuses the
 * rest, so that nothing is ACTIVE without a data plane.
 */
export const CAPABILITIES: Capabilities = {
  topologies: ['SINGLE', 'ACTIVE_STANDBY'],
  listenerProtocols: ['HTTP', 'TCP', 'HTTPS'],
  poolProtocols: ['HTTP', 'TCP', 'HTTPS', 'PROXY', 'PROXYV2'],
  lbAlgorithms: ['ROUND_ROBIN', 'LEAST_CONNECTIONS', 'SOURCE_IP'],
  healthMonitorTypes: ['HTTP', 'HTTPS', 'TCP', 'TLS_HELLO'],
  sessionPersistenceTypes: ['SOURCE_IP', 'HTTP_COOKIE', 'APP_COOKIE'],
};

/**
 * Pool protocols that each listener protocol takes. Source: Octavia's table of valid combinations, as far as rendered.
 */
export const POOL_PROTOCOLS_OF_LISTENER: Readonly<Partial<Record<Protocol, readonly Protocol[]>>> = {
  HTTP: ['HTTP', 'PROXY', 'PROXYV2'],
  TCP: ['HTTP', 'HTTPS', 'PROXY', 'PROXYV2', 'TCP'],
  HTTPS: ['HTTPS', 'PROXY', 'PROXYV2', 'TCP'],
};
