import { execFile, spawn } from 'node:child_process';
import { access, constants, readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import type { Mode } from './installation.ts';

const run = promisify(execFile);

interface Needed {
  readonly package: string;
  readonly program: string;
}

const HAPROXY = { package: 'haproxy', program: '/usr/sbin/haproxy' } as const;
/** Debian's packages that we need in each mode, and the program that shows that one is there. */
const NEEDED: Record<Mode, readonly Needed[]> = {
  loopback: [HAPROXY],
  namespaces: [
    HAPROXY,
    { package: 'iproute2', program: '/sbin/ip' },
    { package: 'keepalived', program: '/usr/sbin/keepalived' },
  ],
};

/** Node that we run on; comes from npm as `node-linux-*`. Source: design section 7. */
const NODE_MAJOR = 24;

/** A machine that lacks something that only its administrator can add. */
export class MachineNotReady extends Error {}

/**
 * Checks the machine and installs what is missing for a mode: as root with apt-get, announced in one line.
 * @returns one line about the machine
 * @throws MachineNotReady with the one command to run
 */
export async function prepareMachine(mode: Mode, say: (line: string) => void): Promise<string> {
  if (mode === 'namespaces' && process.getuid?.() !== 0) {
    throw new MachineNotReady(
      'Namespaces mode needs root, because it makes network interfaces. Start as root (sudo npm start -- --mode namespaces), ' +
        'or start without --mode in a data folder of your own: loopback mode needs no rights.',
    );
  }
  const major = Number(process.versions.node.split('.')[0]);
  if (major < NODE_MAJOR) {
    throw new MachineNotReady(
      `This is Node ${process.versions.node}; the controller needs Node ${NODE_MAJOR}, which npm ci installs into node_modules. Start with npm start.`,
    );
  }
  const missing = await missingPackages(NEEDED[mode]);
  if (missing.length > 0) await install(missing, say);
  const { stdout } = await run(HAPROXY.program, ['-v']);
  return `${await distribution()}, node ${process.versions.node}, haproxy ${/version (\S+)/.exec(stdout)?.[1] ?? 'unknown'}`;
}

async function missingPackages(all: readonly Needed[]): Promise<string[]> {
  const missing: string[] = [];
  for (const needed of all) {
    const present = await access(needed.program, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (!present) missing.push(needed.package);
  }
  return missing;
}

async function install(packages: string[], say: (line: string) => void): Promise<void> {
  const command = `apt-get update && apt-get install -y --no-install-recommends ${packages.join(' ')}`;
  const hasApt = await access('/usr/bin/apt-get', constants.X_OK).then(
    () => true,
    () => false,
  );
  if (!hasApt) {
    throw new MachineNotReady(
      `Missing: ${packages.join(', ')}. This is not Debian or Ubuntu: install it with your package manager, then start again.`,
    );
  }
  if (process.getuid?.() !== 0) {
    throw new MachineNotReady(
      `Missing: ${packages.join(', ')}. Run this once, then start again:\n  sudo sh -c '${command}'`,
    );
  }
  say(`installing ${packages.join(', ')} with apt-get`);
  const child = spawn('/bin/sh', ['-c', command], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (data) => {
      output = (output + data).slice(-4000);
    });
  }
  const code = await new Promise<number | null>((done) => child.once('close', done));
  if (code !== 0) throw new MachineNotReady(`apt-get failed. Its last words:\n${output}\nRun it by hand: ${command}`);
}

async function distribution(): Promise<string> {
  const text = await readFile('/etc/os-release', 'utf8').catch(() => '');
  return /^PRETTY_NAME="?([^"\n]+)/m.exec(text)?.[1] ?? process.platform;
}
