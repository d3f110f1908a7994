import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { findMaster, isAlive, type ProcessIdentity, readProcess } from '../../src/processes.ts';
import { type Authority, createAuthority } from './authority.ts';
import { type Call, client } from './client.ts';
import { haproxyText, type TextOptions } from './haproxy-text.ts';
import { type HeartbeatListener, listenForHeartbeats } from './heartbeats.ts';

const AGENT_PORT = 9443;
/** uid and gid of `nobody` and `nogroup` on Debian. */
const NOBODY = 65_534;
const KEY = 'key-of-the-tests';
const DEADLINE_MS = 20_000;

/** The agent's bundle, built if it is not fresh. */
export function agentBundle(): string {
  const root = join(import.meta.dirname, '../..');
  execFileSync(process.execPath, [join(root, 'build.mjs')]);
  return join(root, 'dist/amphora-agent.mjs');
}

export interface WorldOptions {
  /** True: the agent and its HAProxy run without any privilege, whoever runs the tests. */
  readonly isPlainUser?: boolean;
  readonly env?: NodeJS.ProcessEnv;
  readonly intervalSeconds?: number;
  /** Files of control groups that take the agent's pid, by the amphora's id. */
  readonly groups?: (amphoraId: string) => readonly string[];
}

export interface World {
  readonly amphoraId: string;
  readonly lb: string;
  readonly listener: string;
  readonly folder: string;
  readonly basePath: string;
  readonly socketPath: string;
  readonly configFile: string;
  readonly conf: string;
  readonly key: string;
  /** Address of the agent. */
  readonly host: string;
  /** Address for listeners. */
  readonly vip: string;
  readonly authority: Authority;
  readonly heartbeats: HeartbeatListener;
  readonly call: Call;
  client(options: { clientPem?: string; serverCa?: string }): Call;
  /** Starts an agent and waits until it answers. */
  start(): Promise<ChildProcess>;
  /** Starts an agent and does not wait. */
  spawn(): ChildProcess;
  text(options?: Partial<TextOptions>): string;
  upload(text: string): ReturnType<Call>;
  act(action: string): ReturnType<Call>;
  /** The running HAProxy master, or null. */
  master(): ProcessIdentity | null;
  processes(): { agent: ProcessIdentity; haproxy: { pid: number; startTime: number; workers: ProcessIdentity[] }[] };
  log(): string;
  close(): Promise<void>;
}

/** Addresses of 127.64.0.0/10 at random, so that parallel tests do not meet. */
export function randomLoopback(): string {
  const [a = 0, b = 0, c = 0] = randomBytes(3);
  return `127.${64 + (a % 64)}.${b}.${1 + (c % 250)}`;
}

/** Waits until `isTrue`, or fails with `what`. */
export async function eventually(what: string, isTrue: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + DEADLINE_MS;
  while (!(await isTrue())) {
    if (performance.now() > deadline) throw new Error(`Still not: ${what}`);
    await delay(10);
  }
}

/** An amphora in loopback mode, as the compute driver lays it out, with a controller's keys beside it. */
export async function createWorld({
  isPlainUser = false,
  env = {},
  intervalSeconds = 0.2,
  groups = () => [],
}: WorldOptions = {}): Promise<World> {
  const built = agentBundle();
  const [amphoraId, lb, listener, host, vip] = [
    randomUUID(),
    randomUUID(),
    randomUUID(),
    randomLoopback(),
    randomLoopback(),
  ];
  const root = mkdtempSync(join(tmpdir(), 'ag-'));
  const folder = join(root, 'amphorae', amphoraId);
  const basePath = join(folder, 'var/lib/octavia');
  const certs = join(folder, 'etc/octavia/certs');
  const socketPath = join(root, 's');
  const configFile = join(folder, 'etc/octavia/amphora-agent.conf');
  const bundle = join(root, 'amphora-agent.mjs');
  const authority = await createAuthority('agents');
  const clientPem = await authority.issue('controller');
  const heartbeats = await listenForHeartbeats('127.0.0.1', KEY);
  for (const path of [basePath, certs, socketPath]) mkdirSync(path, { recursive: true });
  copyFileSync(built, bundle);
  const conf = `[haproxy_amphora]
base_path = ${basePath}
base_cert_dir = ${basePath}/certs
bind_host = ${host}
bind_port = ${AGENT_PORT}
haproxy_cmd = /usr/sbin/haproxy

[health_manager]
controller_ip_port_list = 127.0.0.1:${heartbeats.port}
heartbeat_interval = ${intervalSeconds}
heartbeat_key = ${KEY}

[amphora_agent]
agent_server_ca = ${certs}/client_ca.pem
agent_server_cert = ${certs}/server.pem
amphora_id = ${amphoraId}

[octavia_controller]
socket_path = ${socketPath}
keepalived_cmd = /nonexistent/keepalived
`;
  writeFileSync(configFile, conf);
  writeFileSync(join(certs, 'client_ca.pem'), authority.pem);
  writeFileSync(join(certs, 'server.pem'), await authority.issue(amphoraId), { mode: 0o600 });
  const mustDropRoot = isPlainUser && process.getuid?.() === 0;
  if (mustDropRoot) giveAway(root);

  const agents: ChildProcess[] = [];
  const spawnAgent = () => {
    const args = [bundle, '--amphora-id', amphoraId, '--data-folder', folder, '--config-file', configFile];
    const enter = groups(amphoraId).map((file) => `echo $$ >${file}; `);
    const identity = mustDropRoot ? { uid: NOBODY, gid: NOBODY } : {};
    const agent = spawn('/bin/sh', ['-c', `${enter.join('')}exec "$@"`, 'agent', process.execPath, ...args], {
      detached: true,
      stdio: ['ignore', 'ignore', 'inherit'],
      env: { PATH: process.env.PATH, ...env },
      cwd: '/',
      ...identity,
    });
    agents.push(agent);
    return agent;
  };
  const target = { host, port: AGENT_PORT, amphoraId, serverCa: authority.pem };
  const call = client({ ...target, clientPem });
  const master = () => findMaster(join(basePath, lb, 'haproxy.cfg'));

  return {
    amphoraId,
    lb,
    listener,
    folder,
    basePath,
    socketPath,
    configFile,
    conf,
    key: KEY,
    host,
    vip,
    authority,
    heartbeats,
    call,
    client: (options) => client({ ...target, ...options }),
    spawn: spawnAgent,
    async start() {
      const agent = spawnAgent();
      await eventually('the agent answers', async () => {
        if (agent.exitCode !== null) throw new Error(`the agent ended with code ${agent.exitCode}`);
        return call('GET', '/').then(
          () => true,
          () => false,
        );
      });
      return agent;
    },
    text: (options = {}) => haproxyText({ lb, listener, socketPath, basePath, address: vip, port: 8080, ...options }),
    upload: (text) => call('PUT', `/1.0/loadbalancer/${amphoraId}/${lb}/haproxy`, text),
    act: (action) => call('PUT', `/1.0/loadbalancer/${lb}/${action}`),
    master,
    processes: () => JSON.parse(readFileSync(join(folder, 'processes.json'), 'utf8')),
    log: () => readFileSync(join(folder, 'agent.log'), 'utf8'),
    async close() {
      // An agent's group holds its HAProxy too; an adopted one has the group of the agent before.
      for (const { pid } of agents) if (pid !== undefined) killGroup(pid);
      const left = master();
      if (left) process.kill(left.pid, 'SIGKILL');
      await eventually(
        'all processes are gone',
        () => !master() && agents.every(({ pid }) => !pid || !readProcess(pid)),
      );
      heartbeats.close();
      rmSync(root, { recursive: true, force: true });
    },
  };
}

/** Kills a process and waits until it is gone. */
export async function killHard(identity: ProcessIdentity): Promise<void> {
  process.kill(identity.pid, 'SIGKILL');
  await eventually(`process ${identity.pid} is gone`, () => !isAlive(identity));
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // Gone already.
  }
}

function giveAway(path: string): void {
  execFileSync('chown', ['-R', `${NOBODY}:${NOBODY}`, path]);
}
