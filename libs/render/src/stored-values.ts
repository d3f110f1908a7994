/** What is wrong with a stored object, so that it cannot be written. The API checks the same before it stores: these rows are older or damaged. */
import type { HealthMonitor, Listener, Member, Pool, Protocol, UnrenderableReason } from '@octavia/domain';
import { POOL_PROTOCOLS_OF_LISTENER } from './capabilities.ts';
import { expectedCodes } from './expected-codes.ts';
import { isAddress, isIntegerBetween, isUuid } from './text.ts';

/** Reason and message, or null: the object can be written. */
export type PairFault = readonly [UnrenderableReason, string] | null;

/** Source: the API's range of the four listener timeouts. */
const LONGEST_TIMEOUT_MS = 2_073_600_000;
/** HAProxy refuses times above 2^31 - 1 ms. */
const LONGEST_CHECK_S = 2_147_483;
const HTTP_METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'TRACE', 'OPTIONS', 'CONNECT', 'PATCH'];
const POOL_PROTOCOLS: readonly Protocol[] = ['HTTP', 'TCP', 'HTTPS', 'PROXY', 'PROXYV2'];
const ALGORITHMS = ['ROUND_ROBIN', 'LEAST_CONNECTIONS', 'SOURCE_IP'];
/** PING is written for foreign amphorae, which have the script; the API does not offer it. */
const MONITOR_TYPES = ['HTTP', 'HTTPS', 'TCP', 'TLS_HELLO', 'PING'];
/** Token of RFC 6265. */
const COOKIE_NAME = /^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,255}$/;
const HOST_NAME = /^[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,253}[A-Za-z0-9_.])?$/;
/** Printable ASCII without white space: the rest of a URL is percent-encoded. */
const URL_PATH = /^\/[\x21-\x7e]{0,2047}$/;

export function listenerFault(listener: Listener, pool: Pool | undefined): PairFault {
  const accepted = POOL_PROTOCOLS_OF_LISTENER[listener.protocol];
  if (!accepted) return unsupported('protocol', listener.protocol);
  if (pool && !accepted.includes(pool.protocol)) {
    return bad(`default_pool_id must name a pool that fits protocol ${listener.protocol}, not ${pool.protocol}`);
  }
  const timeouts = [
    listener.timeoutClientData,
    listener.timeoutMemberConnect,
    listener.timeoutMemberData,
    listener.timeoutTcpInspect,
  ];
  if (!isUuid(listener.id)) return bad('id must be a UUID');
  if (!isPort(listener.protocolPort)) return bad('protocol_port must be 1 to 65535');
  if (!isIntegerBetween(listener.connectionLimit, -1, 2_147_483_647)) return bad('connection_limit must be -1 or more');
  if (!timeouts.every((timeout) => isIntegerBetween(timeout, 0, LONGEST_TIMEOUT_MS))) {
    return bad(`timeouts must be 0 to ${LONGEST_TIMEOUT_MS} ms`);
  }
  return null;
}

export function poolFault(pool: Pool): PairFault {
  if (!POOL_PROTOCOLS.includes(pool.protocol)) return unsupported('protocol', pool.protocol);
  if (!ALGORITHMS.includes(pool.lbAlgorithm)) return unsupported('lb_algorithm', pool.lbAlgorithm);
  if (!isUuid(pool.id)) return bad('id must be a UUID');
  const persistence = pool.sessionPersistence;
  if (persistence?.type === 'APP_COOKIE' && !COOKIE_NAME.test(persistence.cookieName ?? '')) {
    return bad('session_persistence.cookie_name must be a cookie name by RFC 6265');
  }
  return null;
}

export function memberFault(member: Member): PairFault {
  if (!isUuid(member.id)) return bad('id must be a UUID');
  if (!isAddress(member.address)) return bad('address must be an IP address');
  if (!isPort(member.protocolPort)) return bad('protocol_port must be 1 to 65535');
  if (!isIntegerBetween(member.weight, 0, 256)) return bad('weight must be 0 to 256');
  if (member.monitorAddress !== null && !isAddress(member.monitorAddress)) {
    return bad('monitor_address must be an IP address');
  }
  if (member.monitorPort !== null && !isPort(member.monitorPort)) return bad('monitor_port must be 1 to 65535');
  return null;
}

export function monitorFault(monitor: HealthMonitor): PairFault {
  if (!MONITOR_TYPES.includes(monitor.type)) return unsupported('type', monitor.type);
  if (!isIntegerBetween(monitor.delay, 1, LONGEST_CHECK_S)) return bad(`delay must be 1 to ${LONGEST_CHECK_S} s`);
  if (!isIntegerBetween(monitor.timeout, 0, LONGEST_CHECK_S)) return bad(`timeout must be 0 to ${LONGEST_CHECK_S} s`);
  if (!isIntegerBetween(monitor.maxRetries, 1, 10)) return bad('max_retries must be 1 to 10');
  if (!isIntegerBetween(monitor.maxRetriesDown, 1, 10)) return bad('max_retries_down must be 1 to 10');
  return monitor.type === 'HTTP' || monitor.type === 'HTTPS' ? httpCheckFault(monitor) : null;
}

function httpCheckFault(monitor: HealthMonitor): PairFault {
  if (!HTTP_METHODS.includes(monitor.httpMethod)) return bad(`http_method must be one of ${HTTP_METHODS.join(', ')}`);
  if (!URL_PATH.test(monitor.urlPath)) return bad('url_path must be an absolute path of printable ASCII');
  if (!expectedCodes(monitor.expectedCodes)) return bad('expected_codes must be codes, or a range such as 200-204');
  if (monitor.httpVersion !== null && !['1.0', '1.1'].includes(monitor.httpVersion)) {
    return bad('http_version must be 1.0 or 1.1');
  }
  if (monitor.domainName !== null && !HOST_NAME.test(monitor.domainName)) return bad('domain_name must be a host name');
  return null;
}

function isPort(port: number): boolean {
  return isIntegerBetween(port, 1, 65_535);
}

function bad(message: string): PairFault {
  return ['BAD_STORED_VALUE', `${message}. Correct it, or delete the object.`];
}

function unsupported(field: string, value: string): PairFault {
  // A value of an enumeration, but read from a row: cut to what an enumeration may hold.
  return ['UNSUPPORTED_BY_PROVIDER', `${field} ${value.replace(/[^A-Z0-9_]/g, '')} is not served by amphorae.`];
}
