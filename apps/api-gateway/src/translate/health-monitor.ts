import type { PendingDetail, View } from '@octavia/db';
import type { HealthMonitor, HealthMonitorType } from '@octavia/domain';
import type { HealthMonitor as Message, HealthMonitorType as ProtoType } from '@octavia/proto';
import { CAPABILITIES } from '@octavia/render';
import { OUTPUT_PATHS, type Paths } from '../check/update-mask.ts';
import type { Violations } from '../check/violations.ts';
import { enumOf, wordOf } from './enums.ts';
import { writeIntent } from './status.ts';

/** An hour, in seconds. Source: the contract. */
const MAX_SECONDS = 3_600;
const MAX_TRIES = 10;
const MAX_URL_PATH = 2_048;

const METHODS: readonly string[] = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'TRACE', 'OPTIONS', 'CONNECT', 'PATCH'];
/** Printable ASCII without space; two slashes at the start would name a host. */
const URL_PATH = /^\/(?!\/)[!-~]*$/;
const EXPECTED_CODES = /^[1-5]\d\d(?:(?:, ?[1-5]\d\d)*|-[1-5]\d\d)$/;
/** Labels of 1 to 63 letters, digits and hyphens, none at an end; an underscore may only begin one. Source: Octavia. */
const DOMAIN_NAME =
  /^(?=.{1,253}\.?$)(?:[a-z0-9_](?:[a-z0-9-]{0,61}[a-z0-9])?)(?:\.[a-z0-9_](?:[a-z0-9-]{0,61}[a-z0-9])?)*\.?$/i;

const HTTP_FIELDS = ['http_method', 'url_path', 'expected_codes', 'http_version', 'domain_name'];

export const HEALTH_MONITOR_PATHS: Paths = {
  mutable: ['name', 'admin_state_up', 'tags', 'delay', 'timeout', 'max_retries', 'max_retries_down', ...HTTP_FIELDS],
  immutable: ['pool_id', 'type'],
  output: [...OUTPUT_PATHS, 'project_id', 'load_balancer_id'],
};

/** What a caller asks for. */
export type WantedHealthMonitor = Pick<
  HealthMonitor,
  | 'name'
  | 'adminStateUp'
  | 'tags'
  | 'poolId'
  | 'type'
  | 'delay'
  | 'timeout'
  | 'maxRetries'
  | 'maxRetriesDown'
  | 'httpMethod'
  | 'urlPath'
  | 'expectedCodes'
  | 'httpVersion'
  | 'domainName'
>;

export function readHealthMonitor(message: Message, check: Violations): WantedHealthMonitor {
  const seconds = { min: 1, max: MAX_SECONDS };
  const tries = { min: 1, max: MAX_TRIES };
  const type = wordOf<HealthMonitorType>('HEALTH_MONITOR_TYPE_', message.type);
  return {
    name: check.text('name', message.name),
    adminStateUp: message.adminStateUp ?? true,
    tags: check.tags(message.tags),
    poolId: check.uuid('pool_id', message.poolId),
    type: check.served('type', type, CAPABILITIES.healthMonitorTypes),
    delay: check.integer('delay', message.delay, seconds),
    timeout: check.integer('timeout', message.timeout, seconds),
    maxRetries: check.integer('max_retries', message.maxRetries, tries),
    maxRetriesDown: check.integer('max_retries_down', message.maxRetriesDown, { ...tries, default: 3 }),
    ...readHttp(message, type, check),
  };
}

function readHttp(message: Message, type: HealthMonitorType | null, check: Violations) {
  if (type !== null && !isHttp(type)) refuseHttpFields(message, check);
  const httpMethod = message.httpMethod || 'GET';
  if (!METHODS.includes(httpMethod)) check.add('http_method', 'INVALID_METHOD', `must be among ${METHODS.join(', ')}`);
  const urlPath = message.urlPath || '/';
  if (urlPath.length > MAX_URL_PATH) check.add('url_path', 'TOO_LONG', `must have at most ${MAX_URL_PATH} characters`);
  else if (!URL_PATH.test(urlPath)) {
    check.add('url_path', 'INVALID_URL_PATH', 'must begin with one slash and have printable ASCII without spaces');
  }
  const expectedCodes = message.expectedCodes || '200';
  if (expectedCodes.length > 255 || !areCodes(expectedCodes)) {
    check.add('expected_codes', 'INVALID_CODES', 'must be a code, codes with commas, or a range such as 200-204');
  }
  return { httpMethod, urlPath, expectedCodes, ...readVersion(message, check) };
}

function readVersion({ httpVersion = '', domainName = '' }: Message, check: Violations) {
  if (httpVersion !== '' && httpVersion !== '1.0' && httpVersion !== '1.1') {
    check.add('http_version', 'INVALID_HTTP_VERSION', 'must be 1.0 or 1.1');
  }
  if (domainName !== '' && !DOMAIN_NAME.test(domainName)) {
    check.add('domain_name', 'INVALID_DOMAIN_NAME', 'must be a host name');
  } else if (domainName !== '' && httpVersion !== '1.1') {
    check.add('domain_name', 'NEEDS_HTTP_1_1', 'needs http_version 1.1');
  }
  return { httpVersion: (httpVersion || null) as HealthMonitor['httpVersion'], domainName: domainName || null };
}

function refuseHttpFields(message: Message, check: Violations): void {
  const { httpMethod, urlPath, expectedCodes, httpVersion, domainName } = message;
  const values = [httpMethod, urlPath, expectedCodes, httpVersion, domainName];
  for (const [i, path] of HTTP_FIELDS.entries()) {
    if (values[i]) check.add(path, 'NOT_ALLOWED_FOR_TYPE', 'is for the types HTTP and HTTPS only');
  }
}

function areCodes(text: string): boolean {
  if (!EXPECTED_CODES.test(text)) return false;
  const [first = '', last = first] = text.split('-');
  return text.includes(',') || first <= last;
}

function isHttp(type: HealthMonitorType): boolean {
  return type === 'HTTP' || type === 'HTTPS';
}

export function writeHealthMonitor(view: View<HealthMonitor>, pending?: PendingDetail): Message {
  const { object } = view;
  const isWorking = object.adminStateUp && object.provisioningStatus === 'ACTIVE';
  return {
    ...writeIntent(view, pending, isWorking ? 'ONLINE' : 'OFFLINE'),
    poolId: object.poolId,
    loadBalancerId: object.loadBalancerId,
    type: enumOf<ProtoType>('HEALTH_MONITOR_TYPE_', object.type),
    delay: object.delay,
    timeout: object.timeout,
    maxRetries: object.maxRetries,
    maxRetriesDown: object.maxRetriesDown,
    // Other types have defaults in the database, which mean nothing.
    httpMethod: isHttp(object.type) ? object.httpMethod : undefined,
    urlPath: isHttp(object.type) ? object.urlPath : undefined,
    expectedCodes: isHttp(object.type) ? object.expectedCodes : undefined,
    httpVersion: object.httpVersion ?? undefined,
    domainName: object.domainName ?? undefined,
  };
}
