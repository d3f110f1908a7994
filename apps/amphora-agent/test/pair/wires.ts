import { execFileSync, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { networkInterfaces } from 'node:os';

/** Everything that a run makes on the machine begins with this and its pid, so that a later one knows whose it is. */
export const PREFIX = 'ovr';

/** Why no pair can run here, or null: it can. */
export function whyNoPair(): string | null {
  if (process.getuid?.() !== 0) return 'only root makes network namespaces';
  for (const command of ['ip', 'keepalived', 'haproxy']) {
    if (spawnSync(command, ['-V'], { stdio: 'ignore' }).error) return `${command} is not installed`;
  }
  const probe = spawnSync('unshare', ['-n', 'ip', 'link', 'add', 'one', 'type', 'veth', 'peer', 'name', 'two']);
  return probe.status === 0 ? null : 'this machine gives no network namespaces';
}

/** Removes what runs that are dead by now left behind: processes in their namespaces, the namespaces, the bridges, the folders. */
export function reap(): void {
  const isLeft = (name: string) => {
    const pid = new RegExp(`^${PREFIX}(\\d+)[a-z-]`).exec(name)?.[1];
    return pid !== undefined && !existsSync(`/proc/${pid}`);
  };
  for (const name of namesIn('/run/netns').filter(isLeft)) removeNamespace(name);
  for (const name of namesIn('/sys/class/net').filter(isLeft)) spawnSync('ip', ['link', 'delete', name]);
  for (const name of namesIn('/tmp').filter(isLeft)) rmSync(`/tmp/${name}`, { recursive: true, force: true });
}

function namesIn(folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder) : [];
}

function removeNamespace(name: string): void {
  for (const pid of pidsIn(name)) killNow(pid);
  spawnSync('ip', ['netns', 'delete', name]);
}

/** Processes in a network namespace. */
export function pidsIn(namespace: string): number[] {
  const { stdout } = spawnSync('ip', ['netns', 'pids', namespace], { encoding: 'utf8' });
  return stdout.split('\n').filter(Boolean).map(Number);
}

/** Kills a process, which may have ended meanwhile. */
export function killNow(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** Runs `ip`, which throws with its own words. */
export function ip(...args: readonly string[]): string {
  return execFileSync('ip', args, { encoding: 'utf8', stdio: 'pipe' });
}

/** A place for one amphora: a namespace with eth0 in the management network, and eth1 in that of the VIP for the agent to set up. */
export interface Place {
  readonly namespace: string;
  readonly managementIp: string;
  readonly vrrpIp: string;
  readonly vipMac: string;
  /** The bridge's end of eth0 and eth1. */
  readonly ports: { readonly management: string; readonly vip: string };
}

/** Two networks of this machine, each a bridge on which the tests themselves have the address .1. */
export interface Wires {
  readonly vipCidr: string;
  /** Address of the tests in the VIP's network; others of them end in 201 to 220. */
  readonly clientIp: string;
  readonly managementIp: string;
  readonly vip: string;
  readonly bridges: { readonly management: string; readonly vip: string };
  place(number: number): Place;
  close(): void;
}

let made = 0;

/** Lays the wires; addresses are of 198.18.0.0/15, which is for tests. */
export function layWires(): Wires {
  reap();
  const letter = String.fromCharCode(97 + (made++ % 26));
  const name = (what: string) => `${PREFIX}${process.pid}${letter}${what}`;
  const third = freeThird();
  const bridges = { management: name('m'), vip: name('v') };
  const [managementNet, vipNet] = [`198.19.${third}`, `198.18.${third}`];
  const namespaces: string[] = [];
  for (const [bridge, net] of [
    [bridges.management, managementNet],
    [bridges.vip, vipNet],
  ] as const) {
    // Without an address of its own a bridge has that of one of its ports, and another one when that port leaves.
    ip('link', 'add', bridge, 'address', bridgeMac(), 'type', 'bridge');
    ip('address', 'add', `${net}.1/24`, 'dev', bridge);
    ip('link', 'set', bridge, 'up');
  }
  for (let last = 201; last <= 220; last++) ip('address', 'add', `${vipNet}.${last}/24`, 'dev', bridges.vip);

  return {
    vipCidr: `${vipNet}.0/24`,
    clientIp: `${vipNet}.1`,
    managementIp: `${managementNet}.1`,
    vip: `${vipNet}.5`,
    bridges,
    place(number) {
      const namespace = name(String(number));
      const ports = { management: `${namespace}p`, vip: `${namespace}q` };
      const [managementIp, vrrpIp] = [`${managementNet}.1${number}`, `${vipNet}.1${number}`];
      ip('netns', 'add', namespace);
      namespaces.push(namespace);
      for (const [port, bridge, device] of [
        [ports.management, bridges.management, 'eth0'],
        [ports.vip, bridges.vip, 'eth1'],
      ] as const) {
        ip('link', 'add', port, 'type', 'veth', 'peer', 'name', device, 'netns', namespace);
        ip('link', 'set', port, 'master', bridge, 'up');
      }
      ip('-n', namespace, 'link', 'set', 'lo', 'up');
      ip('-n', namespace, 'address', 'add', `${managementIp}/24`, 'dev', 'eth0');
      ip('-n', namespace, 'link', 'set', 'eth0', 'up');
      const [, vipMac = ''] = /link\/ether (\S+)/.exec(ip('-n', namespace, 'link', 'show', 'dev', 'eth1')) ?? [];
      return { namespace, managementIp, vrrpIp, vipMac, ports };
    },
    close() {
      for (const namespace of namespaces) {
        // A namespace lives on while another program's mounts hold it; its links need not.
        for (const end of ['p', 'q']) spawnSync('ip', ['link', 'delete', `${namespace}${end}`]);
        removeNamespace(namespace);
      }
      for (const bridge of Object.values(bridges)) spawnSync('ip', ['link', 'delete', bridge]);
    },
  };
}

function bridgeMac(): string {
  const bytes = [...randomBytes(5)].map((byte) => byte.toString(16).padStart(2, '0'));
  return ['02', ...bytes].join(':');
}

/** Third byte of a network that this machine does not have yet. */
function freeThird(): number {
  const taken = new Set(
    Object.values(networkInterfaces())
      .flat()
      .map((one) => /^198\.1[89]\.(\d+)\./.exec(one?.address ?? '')?.[1]),
  );
  for (let i = 0; i < 256; i++) {
    const third = (process.pid + made + i) % 256;
    if (!taken.has(String(third))) return third;
  }
  throw new Error('198.18.0.0/15 is used up');
}
