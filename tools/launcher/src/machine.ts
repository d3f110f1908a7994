import { execFile, spawn } from 'node:child_process';
import { access, constants, readFile } from 'node:fs/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Debian's packages that we need, and the program that shows that one is there. */
const NEEDED = [{ package: 'haproxy', program: '/usr/sbin/haproxy' }] as const;

/** Node that we run on; comes from npm as `node-linux-*`. Source: design section 7. */
const NODE_MAJOR = 24;

/** A machine that lacks something that only its administrator can add. */
export class MachineNotReady extends Error {}

/**
 * Checks the machine and installs what is missing: as root with apt-get, announced in one line.
 * @returns one line about the machine
 * @throws MachineNotReady with the one command to run
 */
export async function prepareMachine(say: (line: string) => void): Promise<string> {
  const major = Number(process.versions.node.split('.')[0]);
  if (major < NODE_MAJOR) {
    throw new MachineNotReady(
      `This is Node ${process.versions.node}; the controller needs Node ${NODE_MAJOR}, which npm ci installs into node_modules. Start with npm start.`,
    );
  }
  const missing = await missingPackages();
  if (missing.length > 0) await install(missing, say);
  const { stdout } = await run(NEEDED[0].program, ['-v']);
  return `${await distribution()}, node ${process.versions.node}, haproxy ${/version (\S+)/.exec(stdout)?.[1] ?? 'unknown'}`;
}

async function missingPackages(): Promise<string[]> {
  const missing: string[] = [];
  for (const needed of NEEDED) {
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
