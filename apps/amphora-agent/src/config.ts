import { isIP } from 'node:net';
import { AgentStartError } from './errors.ts';
import { type Ini, sectionOf } from './ini.ts';
import { isUuid } from './uuid.ts';

/** Where heartbeats go. Addresses, or names that are looked up when they are sent to. */
export interface HeartbeatTarget {
  readonly host: string;
  readonly port: number;
}

/** What PUT /1.0/config may change while the agent runs. */
export interface MutableConfig {
  readonly heartbeatKey: string;
  /** From the start of one heartbeat to the start of the next. */
  readonly heartbeatIntervalMs: number;
  readonly heartbeatTargets: readonly HeartbeatTarget[];
  readonly topology: 'SINGLE' | 'ACTIVE_STANDBY';
  readonly debug: boolean;
}

/** The agent's configuration file, read. Every path in it is used as it stands. */
export interface AgentConfig extends MutableConfig {
  readonly amphoraId: string;
  readonly basePath: string;
  readonly certificatesPath: string;
  readonly socketPath: string;
  readonly bindHost: string;
  /** 0 to 65535; 0 lets the system choose. */
  readonly bindPort: number;
  readonly haproxyCommand: string;
  readonly haproxyUser: string;
  readonly keepalivedCommand: string;
  readonly logSocket: string | null;
  readonly exclusiveBind: boolean;
  readonly strictLimits: boolean;
  /** Whether this process has a network namespace to itself, so that interfaces are ours to set up. */
  readonly ownNetwork: boolean;
  readonly clientCaFile: string;
  readonly serverCertificateFile: string;
  /** A request must have arrived within this time. Source: Octavia `agent_request_read_timeout`, 180 s. */
  readonly requestTimeoutMs: number;
}

/**
 * A unix socket path has at most 107 bytes, and HAProxy first binds `<path>.<pid>.tmp`: 107 less `/<uuid>.sock` (42) less 12,
 * and some to spare.
 */
const MAX_SOCKET_PATH_BYTES = 48;

/** Octavia's interval is whole seconds; ours may be a fraction, but not so short that HAProxy does nothing but answer. */
const MIN_INTERVAL_MS = 50;
const MAX_INTERVAL_MS = 3_600_000;

/** Keys that PUT /1.0/config changes. Source: the mutable options of Octavia's agent. */
export const MUTABLE_KEYS: readonly (readonly [section: string, key: string])[] = [
  ['DEFAULT', 'debug'],
  ['health_manager', 'controller_ip_port_list'],
  ['health_manager', 'heartbeat_interval'],
  ['health_manager', 'heartbeat_key'],
  ['controller_worker', 'loadbalancer_topology'],
];

/**
 * Reads the configuration. Defaults are Octavia's.
 * @throws AgentStartError (exit code 78) naming every fault
 */
export function readConfig(ini: Ini): AgentConfig {
  const read = new Reader(ini);
  const basePath = read.path('haproxy_amphora', 'base_path', '/var/lib/octavia');
  const config: AgentConfig = {
    amphoraId: read.text('amphora_agent', 'amphora_id').toLowerCase(),
    basePath,
    certificatesPath: read.path('haproxy_amphora', 'base_cert_dir', `${basePath}/certs`),
    socketPath: read.path('octavia_controller', 'socket_path', basePath),
    bindHost: read.text('haproxy_amphora', 'bind_host', '::'),
    bindPort: read.number('haproxy_amphora', 'bind_port', 9443, 0, 65_535),
    haproxyCommand: read.path('haproxy_amphora', 'haproxy_cmd', '/usr/sbin/haproxy'),
    haproxyUser: read.text('octavia_controller', 'haproxy_user', 'nobody'),
    keepalivedCommand: read.path('octavia_controller', 'keepalived_cmd', '/usr/sbin/keepalived'),
    logSocket: read.text('octavia_controller', 'log_socket', '') || null,
    exclusiveBind: read.flag('octavia_controller', 'exclusive_bind', true),
    strictLimits: read.flag('octavia_controller', 'strict_limits', false),
    ownNetwork: read.flag('octavia_controller', 'own_network', false),
    clientCaFile: read.path('amphora_agent', 'agent_server_ca'),
    serverCertificateFile: read.path('amphora_agent', 'agent_server_cert'),
    requestTimeoutMs: read.number('amphora_agent', 'agent_request_read_timeout', 180, 1, 3600) * 1000,
    ...readMutable(read),
  };
  if (config.amphoraId && !isUuid(config.amphoraId)) read.faults.push('amphora_id must be a UUID');
  if (isIP(config.bindHost) === 0) read.faults.push('bind_host must be an IP address');
  if (Buffer.byteLength(config.socketPath) > MAX_SOCKET_PATH_BYTES)
    read.faults.push(`socket_path must have at most ${MAX_SOCKET_PATH_BYTES} bytes: unix socket paths are short`);
  read.check();
  return config;
}

function readMutable(read: Reader): MutableConfig {
  const heartbeatTargets = parseTargets(read.text('health_manager', 'controller_ip_port_list', ''));
  const seconds = read.number(
    'health_manager',
    'heartbeat_interval',
    10,
    MIN_INTERVAL_MS / 1000,
    MAX_INTERVAL_MS / 1000,
  );
  const heartbeatKey = read.text('health_manager', 'heartbeat_key', '');
  if (heartbeatTargets.length > 0 && heartbeatKey === '')
    read.faults.push('heartbeat_key is missing: no controller would believe the heartbeats');
  const topology = read.text('controller_worker', 'loadbalancer_topology', 'SINGLE');
  if (topology !== 'SINGLE' && topology !== 'ACTIVE_STANDBY')
    read.faults.push('loadbalancer_topology must be SINGLE or ACTIVE_STANDBY');
  return {
    heartbeatTargets,
    heartbeatKey,
    heartbeatIntervalMs: Math.round(seconds * 1000),
    topology: topology === 'ACTIVE_STANDBY' ? 'ACTIVE_STANDBY' : 'SINGLE',
    debug: read.flag('DEFAULT', 'debug', false),
  };
}

/**
 * Reads `ip:port, [v6]:port`. An entry without a port ends the reading and the ones before it are kept, as in Octavia.
 * At most 64 entries.
 */
export function parseTargets(list: string): HeartbeatTarget[] {
  const targets: HeartbeatTarget[] = [];
  for (const entry of list.split(',').slice(0, 64)) {
    const [, host = '', portText = ''] = /^\s*\[?([^\][\s]+?)\]?:(\d{1,5})\s*$/.exec(entry) ?? [];
    const port = Number(portText);
    if (host === '' || port < 1 || port > 65_535) break;
    targets.push({ host, port });
  }
  return targets;
}

/** A copy of `current` with the mutable keys of `wanted`; what `wanted` does not name stays. */
export function mergeMutable(current: Ini, wanted: Ini): Ini {
  const merged: Ini = new Map([...current].map(([name, keys]) => [name, new Map(keys)]));
  for (const [section, key] of MUTABLE_KEYS) {
    const value = wanted.get(section)?.get(key);
    if (value !== undefined) sectionOf(merged, section).set(key, value);
  }
  return merged;
}

class Reader {
  readonly #ini: Ini;
  readonly faults: string[] = [];

  constructor(ini: Ini) {
    this.#ini = ini;
  }

  text(section: string, key: string, fallback?: string): string {
    const value = this.#ini.get(section)?.get(key);
    if (value !== undefined && value !== '') return value;
    if (fallback === undefined) this.faults.push(`${key} is missing in [${section}]`);
    return fallback ?? '';
  }

  path(section: string, key: string, fallback?: string): string {
    const value = this.text(section, key, fallback).replace(/(?<=.)\/+$/, '');
    if (value !== '' && !value.startsWith('/')) this.faults.push(`${key} must be an absolute path`);
    if (/[\s"'\\#]/.test(value)) this.faults.push(`${key} must not hold white space, quotes, backslashes or #`);
    return value;
  }

  number(section: string, key: string, fallback: number, min: number, max: number): number {
    const text = this.text(section, key, String(fallback));
    const value = Number(text);
    if (!/^[0-9.]+$/.test(text) || !(value >= min && value <= max))
      this.faults.push(`${key} must be a number from ${min} to ${max}`);
    return value;
  }

  flag(section: string, key: string, fallback: boolean): boolean {
    const text = this.text(section, key, String(fallback)).toLowerCase();
    if (['true', '1', 'yes', 'on'].includes(text)) return true;
    if (!['false', '0', 'no', 'off'].includes(text)) this.faults.push(`${key} must be True or False`);
    return false;
  }

  check(): void {
    if (this.faults.length > 0) throw new AgentStartError(`Bad configuration: ${this.faults.join('; ')}.`, 78);
  }
}
