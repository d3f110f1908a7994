import type { HealthMonitor, Listener, Member, Pool } from '@octavia/domain';
import { expectedCodes } from './expected-codes.ts';
import type { HaproxyVersion } from './facts.ts';
import { connectionLimit } from './frontend.ts';
import type { HaproxyOptions } from './options.ts';
import type { ListenerPlan, PoolPlan } from './plan.ts';
import { quote, Section } from './text.ts';

/** Milliseconds. Source: Octavia's timeout_member_connect and timeout_member_data. */
const CONNECT_TIMEOUT_MS = 5_000;
const SERVER_TIMEOUT_MS = 50_000;
const BALANCE = { ROUND_ROBIN: 'roundrobin', LEAST_CONNECTIONS: 'leastconn', SOURCE_IP: 'source' } as const;

export interface BackendContext {
  readonly options: HaproxyOptions;
  readonly version: HaproxyVersion;
  /** ` peers <name>`, or empty: a stick table of this load balancer is not shared. */
  readonly stickTablePeers: string;
}

/** The backend of a pool under one listener. */
export function backend(plan: ListenerPlan, poolPlan: PoolPlan, context: BackendContext): string {
  const { listener } = plan;
  const { pool, members, monitor } = poolPlan;
  const mode = poolMode(pool, plan);
  const section = new Section(`backend ${pool.id}:${listener.id}`).add('mode', mode);
  if (mode === 'http' && context.version.atLeast(1, 6)) section.add('http-reuse safe');
  section.add('balance', BALANCE[pool.lbAlgorithm as keyof typeof BALANCE] ?? 'roundrobin');
  addPersistence(section, pool, context);
  if (monitor) addMonitor(section, monitor, context.version);
  addHeaders(section, listener, pool, mode);
  section
    .add('fullconn', connectionLimit(listener, context.options))
    .add('option allbackups')
    .add('timeout connect', listener.timeoutMemberConnect || CONNECT_TIMEOUT_MS)
    .add('timeout server', listener.timeoutMemberData || SERVER_TIMEOUT_MS);
  for (const member of members) addServer(section, member, pool, monitor);
  return section.text();
}

function poolMode(pool: Pool, plan: ListenerPlan): 'http' | 'tcp' {
  if (pool.protocol === 'PROXY' || pool.protocol === 'PROXYV2') return plan.mode;
  return pool.protocol === 'HTTP' ? 'http' : 'tcp';
}

function addPersistence(section: Section, pool: Pool, { options, stickTablePeers }: BackendContext): void {
  const persistence = pool.sessionPersistence;
  const table = `size ${options.stickTableSize}${stickTablePeers}`;
  if (persistence?.type === 'SOURCE_IP') {
    section.add('stick-table type ipv6', table).add('stick on src');
  } else if (persistence?.type === 'APP_COOKIE') {
    const cookie = cookieArgument(persistence.cookieName ?? '');
    section
      .add('stick-table type string len 64', table)
      .add(`stick store-response res.cook(${cookie})`)
      .add(`stick match req.cook(${cookie})`);
  } else if (persistence?.type === 'HTTP_COOKIE') {
    section.add('cookie SRV insert indirect nocache');
  }
}

/** A name inside the parentheses of a sample fetch, which HAProxy reads twice: as a word, then as an argument with quotes. */
function cookieArgument(name: string): string {
  return quote(name.replaceAll("'", "\\'"));
}

function addMonitor(section: Section, monitor: HealthMonitor, version: HaproxyVersion): void {
  if (version.atLeast(1, 6)) section.add('load-server-state-from-file global');
  section.add(`timeout check ${monitor.timeout}s`);
  if (monitor.type === 'HTTP' || monitor.type === 'HTTPS') {
    const httpVersion = monitor.httpVersion === null ? '' : `HTTP/${monitor.httpVersion}`;
    section.add('option httpchk', monitor.httpMethod, quote(monitor.urlPath), httpVersion);
    if (monitor.httpVersion === '1.1' && monitor.domainName !== null) {
      section.add('http-check send hdr Host', quote(monitor.domainName));
    }
    section.add('http-check expect rstatus', (expectedCodes(monitor.expectedCodes) ?? []).join('|'));
  } else if (monitor.type === 'PING') {
    section.add('option external-check').add('external-check command /var/lib/octavia/ping-wrapper.sh');
  }
}

function addHeaders(section: Section, listener: Listener, pool: Pool, mode: 'http' | 'tcp'): void {
  if (listener.protocol !== 'HTTP' || mode !== 'http') return;
  const wants = (header: string) => listener.insertHeaders[header]?.toLowerCase() === 'true';
  if (pool.protocol === 'HTTP') {
    if (wants('X-Forwarded-For')) section.add('option forwardfor');
    if (wants('X-Forwarded-Port')) section.add('http-request set-header X-Forwarded-Port %[dst_port]');
  }
  if (wants('X-Forwarded-Proto')) section.add('http-request set-header X-Forwarded-Proto http');
}

function addServer(section: Section, member: Member, pool: Pool, monitor: HealthMonitor | null): void {
  section.add(
    `server ${member.id} ${member.address}:${member.protocolPort} weight ${member.weight}`,
    monitor ? check(member, monitor) : '',
    pool.sessionPersistence?.type === 'HTTP_COOKIE' ? `cookie ${member.id}` : '',
    pool.protocol === 'PROXY' ? 'send-proxy' : '',
    pool.protocol === 'PROXYV2' ? 'send-proxy-v2' : '',
    member.backup ? 'backup' : '',
    // A disabled member stays in the file, and is reported as MAINT.
    member.adminStateUp ? '' : 'disabled',
  );
}

function check(member: Member, monitor: HealthMonitor): string {
  const words = ['check'];
  if (monitor.type === 'HTTPS') words.push('check-ssl verify none');
  words.push(`inter ${monitor.delay}s fall ${monitor.maxRetriesDown} rise ${monitor.maxRetries}`);
  if (member.monitorAddress !== null) words.push(`addr ${bracketed(member.monitorAddress)}`);
  if (member.monitorPort !== null) words.push(`port ${member.monitorPort}`);
  return words.join(' ');
}

/** Unlike the address of a server, this one is refused by HAProxy when it is IPv6 without brackets. */
function bracketed(address: string): string {
  return address.includes(':') ? `[${address}]` : address;
}
