import { type ChildProcess, spawn } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { askHaproxy } from '../../src/haproxy/cli-socket.ts';
import { findMaster, isAlive, type ProcessIdentity, readProcess } from '../../src/processes.ts';
import type { Authority } from '../world/authority.ts';
import { type Call, client } from '../world/client.ts';
import { type HeartbeatListener, listenForHeartbeats } from '../world/heartbeats.ts';
import { agentBundle, eventually } from '../world/world.ts';
import { ip, killNow, type Place, pidsIn, type Wires } from './wires.ts';

const AGENT_PORT = 9443;
const KEY = 'key-of-the-tests';

/** One amphora of a pair: a namespace, and an agent of ours in it. */
export interface PairAmphora {
  readonly id: string;
  readonly role: 'MASTER' | 'BACKUP';
  readonly namespace: string;
  readonly vrrpIp: string;
  /** MAC address of eth1. */
  readonly vipMac: string;
  readonly basePath: string;
  readonly call: Call;
  readonly heartbeats: HeartbeatListener;
  /** Starts an agent and waits until it answers. */
  start(): Promise<void>;
  /** Whether its interface has the VIP now. */
  hasVip(): boolean;
  agent(): ProcessIdentity;
  haproxy(): ProcessIdentity;
  /** The parent, and the process that does VRRP. */
  keepalived(): { readonly parent: ProcessIdentity; readonly vrrp: ProcessIdentity } | null;
  kill(...victims: readonly ProcessIdentity[]): void;
  /** Kills every process at once; the namespace, and the VIP in it, stay. */
  killAll(): void;
  /** Takes the VIP network's link down, or up again: both ends see it. */
  setLink(is: 'up' | 'down'): void;
  /** Takes the link off the bridge, or back: the amphora does not see it. */
  setAttached(isAttached: boolean): void;
  setManagement(is: 'up' | 'down'): void;
  /** Entries in the stick tables of its HAProxy. */
  stuck(): Promise<number>;
  /** Whether its HAProxy has learned from its peers; until then, five seconds at most, it teaches its table to no process after it. */
  hasLearned(): Promise<boolean>;
  /** What keepalived says that it is. */
  vrrpState(): 'MASTER' | 'BACKUP' | 'FAULT' | 'none';
  log(): string;
  close(): void;
}

/** @param root folder, short: unix sockets are below */
export async function createAmphora(
  root: string,
  wires: Wires,
  number: number,
  { id, role }: { readonly id: string; readonly role: 'MASTER' | 'BACKUP' },
  authority: Authority,
  topology: 'SINGLE' | 'ACTIVE_STANDBY' = 'ACTIVE_STANDBY',
): Promise<PairAmphora> {
  const place = wires.place(number);
  const heartbeats = await listenForHeartbeats(wires.managementIp, KEY);
  const folder = join(root, String(number));
  const basePath = join(folder, 'var/lib/octavia');
  const configFile = layOut({
    root,
    folder,
    basePath,
    number,
    id,
    place,
    wires,
    port: heartbeats.port,
    authority,
    topology,
  });
  writeFileSync(join(folder, 'server.pem'), await authority.issue(id), { mode: 0o600 });
  const clientPem = await authority.issue('controller');
  const target = { host: place.managementIp, port: AGENT_PORT, amphoraId: id, serverCa: authority.pem };
  const call = client({ ...target, clientPem });
  const agents: ChildProcess[] = [];
  const keepalivedConf = join(basePath, 'vrrp/octavia-keepalived.conf');
  const keepalivedLog = join(basePath, 'vrrp/keepalived.log');
  const processes = () => JSON.parse(readFileSync(join(folder, 'processes.json'), 'utf8'));
  const link = (port: string, ...change: string[]) => ip('link', 'set', port, ...change);

  return {
    id,
    role,
    namespace: place.namespace,
    vrrpIp: place.vrrpIp,
    vipMac: place.vipMac,
    basePath,
    call,
    heartbeats,
    async start() {
      const bundle = join(root, 'amphora-agent.mjs');
      const args = [bundle, '--amphora-id', id, '--data-folder', folder, '--config-file', configFile];
      const agent = spawn('ip', ['netns', 'exec', place.namespace, process.execPath, ...args], {
        detached: true,
        stdio: ['ignore', 'ignore', 'inherit'],
        env: { PATH: process.env.PATH },
        cwd: '/',
      });
      agents.push(agent);
      await eventually('the agent answers', async () => {
        if (agent.exitCode !== null) throw new Error(`the agent ended with code ${agent.exitCode}`);
        return call('GET', '/').then(
          () => true,
          () => false,
        );
      });
    },
    hasVip: () => ip('-n', place.namespace, '-o', 'address', 'show', 'dev', 'eth1', 'to', `${wires.vip}/32`) !== '',
    agent: () => processes().agent,
    haproxy: () => {
      const [{ pid, startTime }] = processes().haproxy;
      return { pid, startTime };
    },
    keepalived() {
      const parent = findMaster(keepalivedConf);
      const vrrp =
        parent &&
        pidsIn(place.namespace)
          .map(readProcess)
          .find((facts) => facts?.parent === parent.pid);
      return parent && vrrp ? { parent, vrrp } : null;
    },
    kill(...victims) {
      for (const victim of victims) if (isAlive(victim)) killNow(victim.pid);
    },
    killAll() {
      for (const pid of pidsIn(place.namespace)) killNow(pid);
    },
    setLink: (is) => link(place.ports.vip, is),
    setAttached: (isAttached) =>
      isAttached ? link(place.ports.vip, 'master', wires.bridges.vip) : link(place.ports.vip, 'nomaster'),
    setManagement: (is) => link(place.ports.management, is),
    log: () => readFileSync(join(folder, 'agent.log'), 'utf8'),
    async hasLearned() {
      const [{ masterSocket }] = processes().haproxy;
      return (await askHaproxy(masterSocket, '@1 show peers', 1_000)).includes('resync_timeout=<PAST>');
    },
    async stuck() {
      const [{ masterSocket }] = processes().haproxy;
      const tables = await askHaproxy(masterSocket, '@1 show table', 1_000);
      return [...tables.matchAll(/used:(\d+)/g)].reduce((sum, [, used]) => sum + Number(used), 0);
    },
    vrrpState() {
      const text = existsSync(keepalivedLog) ? readFileSync(keepalivedLog, 'utf8') : '';
      const since = text.slice(Math.max(0, text.lastIndexOf('Starting Keepalived')));
      const [, last] = [...since.matchAll(/Entering (MASTER|BACKUP|FAULT) STATE/g)].at(-1) ?? [];
      return (last as 'MASTER' | 'BACKUP' | 'FAULT' | undefined) ?? 'none';
    },
    close() {
      heartbeats.close();
      for (const pid of pidsIn(place.namespace)) killNow(pid);
    },
  };
}

interface Layout {
  readonly root: string;
  readonly folder: string;
  readonly basePath: string;
  readonly number: number;
  readonly id: string;
  readonly place: Place;
  readonly wires: Wires;
  readonly port: number;
  readonly authority: Authority;
  readonly topology: string;
}

function layOut({ root, folder, basePath, number, id, place, wires, port, authority, topology }: Layout): string {
  const configFile = join(folder, 'amphora-agent.conf');
  const socketPath = join(root, `s${number}`);
  for (const path of [basePath, socketPath]) mkdirSync(path, { recursive: true });
  copyFileSync(agentBundle(), join(root, 'amphora-agent.mjs'));
  writeFileSync(join(folder, 'client_ca.pem'), authority.pem);
  writeFileSync(
    configFile,
    `[haproxy_amphora]
base_path = ${basePath}
base_cert_dir = ${basePath}/certs
bind_host = ${place.managementIp}
bind_port = ${AGENT_PORT}
[health_manager]
controller_ip_port_list = ${wires.managementIp}:${port}
heartbeat_interval = 0.2
heartbeat_key = ${KEY}
[amphora_agent]
agent_server_ca = ${folder}/client_ca.pem
agent_server_cert = ${folder}/server.pem
amphora_id = ${id}
[controller_worker]
loadbalancer_topology = ${topology}
[octavia_controller]
own_network = True
socket_path = ${socketPath}
`,
  );
  return configFile;
}
