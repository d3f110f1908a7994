import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import pg from 'pg';
import { Api } from './api.ts';

const CLONE = resolve(import.meta.dirname, '../../..');
const LAUNCHER = join(CLONE, 'tools/launcher/dist/main.js');
/** A first start with an empty database takes 6 s. */
const START_LIMIT_MS = 120_000;
const STOP_LIMIT_MS = 120_000;

export const SERVICES = ['api-gateway', 'worker', 'health', 'heartbeat-udp', 'housekeeping'] as const;

/** Settings for an installation whose drivers do nothing: what is left is the controller itself. */
export const NOOP: Readonly<Record<string, string>> = {
  COMPUTE_DRIVER: 'noop',
  NETWORK_DRIVER: 'noop',
  AMPHORA_DRIVER: 'noop',
  CERTIFICATES_DRIVER: 'noop',
  // Such amphorae send no heartbeats.
  HEARTBEAT_TIMEOUT: '1h',
};

/** The whole controller in a data folder of its own, as the launcher starts it. */
export class Installation {
  readonly home: string;
  readonly startedInMs: number;
  readonly api: Api;
  readonly #launcher: ChildProcess;
  readonly #isKept: boolean;

  private constructor(home: string, launcher: ChildProcess, startedInMs: number, isKept: boolean) {
    this.home = home;
    this.startedInMs = startedInMs;
    this.#launcher = launcher;
    this.#isKept = isKept;
    this.api = new Api(home);
  }

  /** A new data folder, for an installation to start in. */
  static newHome(): string {
    const home = mkdtempSync(join(tmpdir(), 'octavia-bench-'));
    // Root's PostgreSQL runs as another user, which must be able to enter.
    if (process.getuid?.() === 0) chmodSync(home, 0o711);
    return home;
  }

  /**
   * Starts everything and returns when all services serve. Without `home` in a folder that is gone with the installation.
   * @param settings environment of the services, above the launcher's defaults
   * @throws Error with what the launcher said
   */
  static async start(
    settings: Readonly<Record<string, string>> = {},
    options: {
      readonly home?: string;
      readonly mode?: 'namespaces';
      readonly command?: readonly string[];
      readonly signal?: AbortSignal;
    } = {},
  ): Promise<Installation> {
    options.signal?.throwIfAborted();
    const home = options.home ?? Installation.newHome();
    const mode = options.mode ? ['--mode', options.mode] : [];
    const [program = process.execPath, ...args] = options.command ?? [process.execPath, LAUNCHER, 'start', ...mode];
    const startedAt = performance.now();
    const env: NodeJS.ProcessEnv = { ...cleanEnvironment(), LOG_LEVEL: 'warn', ...settings, OCTAVIA_HOME: home };
    const child = spawn(program, args, { cwd: CLONE, env, stdio: ['ignore', 'pipe', 'pipe'] });
    let said = '';
    let startedInMs = 0;
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(-4_000);
    });
    await new Promise<void>((done, fail) => {
      const limit = setTimeout(
        () => fail(new Error(`Not started in ${START_LIMIT_MS / 1000} s:\n${said}`)),
        START_LIMIT_MS,
      );
      child.stdout?.setEncoding('utf8').on('data', (text: string) => {
        said = (said + text).slice(-4_000);
        if (!said.includes('ready in ') || startedInMs > 0) return;
        startedInMs = performance.now() - startedAt;
        clearTimeout(limit);
        done();
      });
      child.once('error', fail);
      child.once('exit', (code) => fail(new Error(`The launcher ended with exit code ${code}:\n${said}`)));
    }).catch(async (error) => {
      await end(home, child);
      if (!options.home) removeHome(home);
      throw error;
    });
    const installation = new Installation(home, child, startedInMs, options.home !== undefined);
    running.add(installation);
    return installation;
  }

  /** Stops everything, amphorae too. */
  async stop(): Promise<void> {
    if (!running.delete(this)) return;
    this.api.close();
    await end(this.home, this.#launcher);
    if (!this.#isKept) removeHome(this.home);
  }

  /** A client of its database. End it. */
  async database(): Promise<pg.Client> {
    const client = new pg.Client({
      connectionString: readFileSync(join(this.home, 'secrets/database-url'), 'utf8').trim(),
    });
    await client.connect();
    return client;
  }

  /** Pid of a service. @throws Error when it does not run */
  pidOf(service: string): number {
    const [pid] = this.processesWith(`apps/${service}/dist/main.js`);
    if (pid === undefined) throw new Error(`${service} does not run.`);
    return pid;
  }

  /** Processes of this installation with `text` on their command line. */
  processesWith(text: string): number[] {
    return readdirSync('/proc').flatMap((entry) => {
      const pid = Number(entry);
      if (!Number.isInteger(pid) || pid === process.pid) return [];
      const command = commandOf(pid);
      return command.includes(this.home) && command.includes(text) ? [pid] : [];
    });
  }
}

/** Removes the data folder, and the folder for sockets beside it. */
export function removeHome(home: string): void {
  const file = join(home, 'installation.json');
  const { runtimeFolder } = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : {};
  if (runtimeFolder) rmSync(runtimeFolder, { recursive: true, force: true });
  rmSync(home, { recursive: true, force: true });
}

const running = new Set<Installation>();

/** Stops what a benchmark that was broken off left running. */
export async function stopAll(): Promise<void> {
  await Promise.all([...running].map((installation) => installation.stop()));
}

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
  } catch {
    return ''; // It has just ended.
  }
}

/** Without what the caller's npm sets, and without settings that would change what is measured. */
function cleanEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    ['PATH', 'HOME', 'USER', 'LANG', 'TMPDIR', 'NODE_OPTIONS'].flatMap((name) => {
      const value = process.env[name];
      return value === undefined ? [] : [[name, value]];
    }),
  );
}

/** By the launcher's own `stop`: it finds the launcher also behind the npm that started it, and what a crash left. */
async function end(home: string, child: ChildProcess): Promise<void> {
  const isOver = (): boolean => child.exitCode !== null || child.signalCode !== null;
  const ended = isOver() ? Promise.resolve() : new Promise<void>((done) => child.once('exit', () => done()));
  const stop = spawn(process.execPath, [LAUNCHER, 'stop'], {
    env: { ...cleanEnvironment(), OCTAVIA_HOME: home },
    stdio: 'ignore',
  });
  await new Promise<void>((done) => stop.once('exit', () => done()));
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_LIMIT_MS);
  await ended;
  clearTimeout(timer);
}
