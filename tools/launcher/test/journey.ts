import { spawn } from 'node:child_process';
import { chmodSync, chownSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { createServer, get as httpGet, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { processesOf } from '../src/processes.ts';

export const CLONE = resolve(import.meta.dirname, '../../..');
const PORT = 8080;
/** At least five times what any step was seen to take. */
const LIMIT_MS = 60_000;
const COMMAND_LIMIT_MS = 240_000;

export interface User {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A user without rights, such as a newcomer on a shared machine. */
export function plainUser(): User {
  return { name: 'nobody', uid: 65_534, gid: 65_534 };
}

/** One installation in a folder of its own, used as its user would. */
export class Journey {
  readonly home: string;
  readonly #user: User | null;
  readonly #webs: Server[] = [];

  constructor(user: User | null) {
    this.#user = user;
    this.home = mkdtempSync(join(tmpdir(), 'octavia-journey-'));
    if (user) chownSync(this.home, user.uid, user.gid);
    // Root's PostgreSQL runs as another user, which must be able to enter.
    else chmodSync(this.home, 0o711);
  }

  npm(...args: string[]): Promise<Outcome> {
    return this.#run('npm', args);
  }

  ctl(...args: string[]): Promise<Outcome> {
    return this.#run(join(CLONE, 'node_modules/.bin/octaviactl'), args);
  }

  /** Runs a script in a shell of its own, as one types it; what it left in the background ends with it. */
  shell(script: string): Promise<Outcome> {
    return this.#run('bash', ['-c', script]);
  }

  /** The demo; interrupted as by Ctrl-C once it has printed `interruptAt`. */
  demo(args: readonly string[], interruptAt?: string): Promise<Outcome> {
    return this.#run(process.execPath, [join(CLONE, 'tools/demo/dist/main.js'), ...args], interruptAt);
  }

  // biome-ignore lint/suspicious/noExplicitAny: what the command line prints is looked at by matchers.
  async json(...args: string[]): Promise<any> {
    const { code, stdout, stderr } = await this.ctl(...args, '-f', 'json');
    if (code !== 0) throw new Error(`octaviactl ${args.join(' ')}: ${stderr}`);
    return JSON.parse(stdout);
  }

  /** A web server that answers with its name. Returns its port. */
  async web(name: string): Promise<number> {
    const server = createServer((_, response) => response.end(name));
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    this.#webs.push(server);
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    return address.port;
  }

  /** What the load balancer answers. */
  async get(): Promise<string> {
    this.#vip ??= (await this.json('loadbalancer', 'show', 'web')).vip_address;
    return new Promise((done, fail) => {
      const request = httpGet({ host: this.#vip, port: PORT, agent: false, timeout: 2_000 }, (response) => {
        let body = '';
        response.on('data', (data) => {
          body += data;
        });
        response.on('end', () =>
          response.statusCode === 200 ? done(body) : fail(new Error(`${response.statusCode}`)),
        );
      });
      request.on('timeout', () => request.destroy(new Error('no answer')));
      request.on('error', fail);
    });
  }
  #vip: string | undefined;

  /** Ids of amphorae in a status. */
  async amphorae(status: string): Promise<string[]> {
    const all: { id: string; status: string }[] = await this.json('loadbalancer', 'amphora', 'list');
    return all.filter((amphora) => amphora.status === status).map(({ id }) => id);
  }

  /** Id of the amphora that serves. */
  async amphora(): Promise<string> {
    const [id] = await this.amphorae('ALLOCATED');
    if (!id) throw new Error('no amphora serves');
    return id;
  }

  /** kill -9 of every process of an amphora, as its user would: by what ps shows. */
  async killAmphora(id: string): Promise<void> {
    for (const pid of await this.processesOf(id)) process.kill(pid, 'SIGKILL');
  }

  /** Pids of processes with `text` on their command line. */
  async processesOf(text: string): Promise<number[]> {
    if (text.startsWith('/')) return (await processesOf(text)).map(({ pid }) => pid);
    return (await processesOf(join(this.home, 'amphorae', text))).map(({ pid }) => pid);
  }

  async until(what: string, isSo: () => Promise<boolean>): Promise<void> {
    const giveUpAt = performance.now() + LIMIT_MS;
    let last: unknown;
    while (performance.now() < giveUpAt) {
      const so = await isSo().catch((error) => {
        last = error;
        return false;
      });
      if (so) return;
      await sleep(50);
    }
    throw new Error(`Not within ${LIMIT_MS / 1000} s: ${what}.`, { cause: last });
  }

  /** Every row of every table, as text. */
  async dump(): Promise<string> {
    const client = new pg.Client({ connectionString: this.#file('secrets/database-url') });
    await client.connect();
    try {
      const { rows: tables } = await client.query(
        `SELECT quote_ident(tablename) AS name FROM pg_tables WHERE schemaname = 'public'`,
      );
      const parts: string[] = [];
      for (const { name } of tables) {
        const { rows } = await client.query(
          `SELECT coalesce(string_agg(t::text, E'\\n'), '') AS text FROM ${name} AS t`,
        );
        parts.push(`${name}\n${rows[0].text}`);
      }
      return parts.join('\n');
    } finally {
      await client.end();
    }
  }

  /** Secrets of the installation that must be nowhere but in their files. */
  secrets(): string[] {
    return readdirSync(join(this.home, 'secrets'))
      .map((name) => this.#file(`secrets/${name}`))
      .filter((content) => content.length > 0);
  }

  #file(name: string): string {
    return readFileSync(join(this.home, name), 'utf8').trim();
  }

  async end(): Promise<void> {
    await this.npm('stop').catch(() => {});
    for (const server of this.#webs) {
      server.closeAllConnections();
      server.close();
    }
    rmSync(this.home, { recursive: true, force: true });
  }

  #run(program: string, args: string[], interruptAt?: string): Promise<Outcome> {
    const [command = program, ...rest] = this.#user
      ? [...becomeUser(this.#user), program, ...args]
      : [program, ...args];
    const env: NodeJS.ProcessEnv = { ...process.env, OCTAVIA_HOME: this.home, HOME: this.home, NO_COLOR: '1' };
    // What this test run's own npm and vitest set would be the newcomer's settings.
    for (const name of Object.keys(env)) if (/^(npm_|VITEST|NODE_ENV|TEST|FORCE_COLOR)/.test(name)) delete env[name];
    env.npm_config_update_notifier = 'false';
    return new Promise((done, fail) => {
      const child = spawn(command, rest, { cwd: CLONE, env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
      const outcome = { stdout: '', stderr: '' };
      let isInterrupted = false;
      child.stdout.on('data', (data) => {
        outcome.stdout += data;
        if (isInterrupted || interruptAt === undefined || !outcome.stdout.includes(interruptAt)) return;
        isInterrupted = true;
        child.kill('SIGINT');
      });
      child.stderr.on('data', (data) => {
        outcome.stderr += data;
      });
      // The whole group: a shell's background processes hold the pipes that we read to their end.
      const end = (): void => {
        if (child.pid !== undefined) endGroup(child.pid);
      };
      const limit = setTimeout(end, COMMAND_LIMIT_MS);
      child.once('error', fail);
      child.once('exit', end);
      child.once('close', (code) => {
        clearTimeout(limit);
        done({ code: code ?? -1, ...outcome });
      });
    });
  }
}

function endGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // Nobody is left in it.
  }
}

/**
 * The command that runs another one as `user`. Where the clone lies in a folder that only root may enter, the user may read it
 * none the less: a newcomer's clone is his own.
 */
function becomeUser(user: User): string[] {
  const become = ['setpriv', `--reuid=${user.uid}`, `--regid=${user.gid}`, '--clear-groups'];
  return isOpen(CLONE) ? become : [...become, '--inh-caps=+dac_read_search', '--ambient-caps=+dac_read_search'];
}

function isOpen(folder: string): boolean {
  if (folder === dirname(folder)) return true;
  return (statSync(folder).mode & 0o001) !== 0 && isOpen(dirname(folder));
}
