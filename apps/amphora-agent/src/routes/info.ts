import { readFileSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { cpus } from 'node:os';
import type { AgentConfig } from '../config.ts';
import { haproxyVersion } from '../haproxy/command.ts';
import type { LoadBalancers } from '../haproxy/load-balancers.ts';
import type { Route } from '../http/router.ts';
import { keepalivedVersion } from '../keepalived/version.ts';

export interface InfoParts {
  readonly config: AgentConfig;
  /** User that HAProxy becomes, or null. */
  readonly user: string | null;
  readonly loadBalancers: LoadBalancers;
  /** keepalived's command, or null. */
  readonly keepalived: string | null;
}

/** What the agent says of itself and its machine. */
export function infoRoutes(parts: InfoParts): Route[] {
  let version: Promise<string> | null = null;
  const info = async () => {
    version ??= haproxyVersion(parts.config.haproxyCommand);
    version.catch(() => {
      version = null;
    });
    return {
      hostname: `amphora-${parts.config.amphoraId}`,
      haproxy_version: await version,
      api_version: '1.0',
      keepalived_version: parts.keepalived && (await keepalivedVersion(parts.keepalived)),
      ipvsadm_version: null,
    };
  };
  return [
    { method: 'GET', path: '/', maxBodyBytes: 0, handle: () => ({ status: 200, body: { api_version: '1.0' } }) },
    { method: 'GET', path: '/1.0/info', maxBodyBytes: 0, handle: async () => ({ status: 200, body: await info() }) },
    {
      method: 'GET',
      path: '/1.0/details',
      maxBodyBytes: 0,
      handle: async () => ({ status: 200, body: { ...(await info()), ...(await details(parts)) } }),
    },
  ];
}

async function details({ config, user, loadBalancers, keepalived }: InfoParts) {
  const all = loadBalancers.all();
  const listeners = all.flatMap((lb) => lb.storedText()?.frontends ?? []).map(({ id }) => id);
  const disk = await statfs('/');
  return {
    networks: config.ownNetwork ? networkCounters(readFileSync('/proc/net/dev', 'utf8')) : {},
    active: true,
    haproxy_count: all.filter((lb) => lb.isRunning).length,
    cpu_count: cpus().length,
    cpu: cpuTimes(readFileSync('/proc/stat', 'utf8')),
    memory: memory(readFileSync('/proc/meminfo', 'utf8')),
    disk: { used: (disk.blocks - disk.bfree) * disk.bsize, available: disk.bavail * disk.bsize },
    load: readFileSync('/proc/loadavg', 'utf8').split(' ').slice(0, 3),
    // No profile even where the host has one: HAProxy must not pin itself to processors that it shares with other amphorae.
    active_tuned_profiles: '',
    // Fixed texts, also in a pair, as in Octavia's agent.
    topology: 'SINGLE',
    topology_status: 'OK',
    listeners: listeners.sort(),
    packages: {},
    lvs_listener_process_count: 0,
    platform: {
      base_path: config.basePath,
      socket_path: config.socketPath,
      user,
      log_socket: config.logSocket,
      exclusive_bind: config.exclusiveBind,
      strict_limits: config.strictLimits,
      fast_vrrp: keepalived !== null,
    },
  };
}

/** Jiffies of all processors since the machine started. Octavia has three of them as text. */
export function cpuTimes(stat: string) {
  const line = stat.split('\n', 1)[0] ?? '';
  const fields = line.split(/\s+/).slice(1);
  const [user = '0', , system = '0', , , , softIrq = '0'] = fields;
  // Guest time, the last two, is part of user time.
  const total = fields.slice(0, 8).reduce((sum, field) => sum + Number(field), 0);
  return { total, user, system, soft_irq: softIrq };
}

/** Not of tenants: the loopback, and the interface for management. */
const OTHER_INTERFACES = ['lo', 'eth0'];

/** Bytes that went through the interfaces of the amphora's own namespace. */
function networkCounters(dev: string): Record<string, { network_tx: number; network_rx: number }> {
  const found = dev.split('\n').flatMap((line) => {
    const [, name = '', counters = ''] = /^\s*([^\s:]+):\s*(.+)$/.exec(line) ?? [];
    const [received, , , , , , , , sent] = counters.split(/\s+/).map(Number);
    if (name === '' || OTHER_INTERFACES.includes(name)) return [];
    return [[name, { network_tx: sent ?? 0, network_rx: received ?? 0 }] as const];
  });
  return Object.fromEntries(found);
}

/** kB. */
export function memory(meminfo: string) {
  const value = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(meminfo)?.[1] ?? 0);
  return {
    total: value('MemTotal'),
    free: value('MemFree'),
    buffers: value('Buffers'),
    cached: value('Cached'),
    swap_used: value('SwapTotal') - value('SwapFree'),
    shared: value('Shmem'),
    slab: value('Slab'),
  };
}
