import { spawn } from 'node:child_process';
import { readFileSync, renameSync } from 'node:fs';
import { get as httpGet } from 'node:http';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Installation } from '../src/installation.ts';
import { identify, processesOf } from '../src/processes.ts';
import { Journey } from './journey.ts';

const CLONE = resolve(import.meta.dirname, '../../..');
const LAUNCHER = join(CLONE, 'tools/launcher/dist/main.js');
const PORT = 8080;
const REQUEST_EVERY_MS = 10;

interface Outcome {
  readonly code: number | null;
  /** What it wrote, errors too. */
  readonly text: string;
}

/** What clients of a load balancer saw. */
export interface Seen {
  readonly requests: number;
  readonly failures: number;
}

/** An installation that is killed, moved and taken apart. Its launcher is run as built, without npm. */
export class Life extends Journey {
  #home: string | null = null;

  constructor() {
    super(null);
  }

  override get home(): string {
    return this.#home ?? super.home;
  }

  /** The installation, as its file says. */
  get installation(): Installation {
    return JSON.parse(readFileSync(join(this.home, 'installation.json'), 'utf8'));
  }

  /** Moves the data folder elsewhere. */
  move(): void {
    const elsewhere = `${this.home}-moved`;
    renameSync(this.home, elsewhere);
    this.#home = elsewhere;
  }

  /** Runs the launcher to its end. `killAt`: kill -9 as soon as it has written that; `killWhen`: as soon as that is so. */
  launcher(
    args: readonly string[],
    { killAt, killWhen, env = {} }: { killAt?: RegExp; killWhen?: () => boolean; env?: NodeJS.ProcessEnv } = {},
  ): Promise<Outcome> {
    return new Promise((done, fail) => {
      const child = spawn(process.execPath, [LAUNCHER, ...args], {
        cwd: CLONE,
        env: { ...process.env, OCTAVIA_HOME: this.home, CERT_INTERVAL: '500ms', ...env },
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      let text = '';
      const hear = (data: string): void => {
        text += data;
        if (killAt?.test(text)) child.kill('SIGKILL');
      };
      child.stdout.setEncoding('utf8').on('data', hear);
      child.stderr.setEncoding('utf8').on('data', hear);
      child.once('error', fail);
      // Not `close`: what it started may hold the pipes.
      const looking = setInterval(() => {
        if (killWhen?.()) child.kill('SIGKILL');
      }, 5);
      child.once('exit', (code) => {
        clearInterval(looking);
        done({ code, text });
      });
    });
  }

  /** Starts everything and returns when all services serve. */
  async start(...args: readonly string[]): Promise<string> {
    const { code, text } = await this.launcher(['start', '--detach', ...args]);
    if (code !== 0) throw new Error(`It does not start:\n${text}`);
    return text;
  }

  /** kill -9 of everything of ours; `all`: of the amphorae too, as the end of the machine would. */
  async kill(all: boolean): Promise<void> {
    const doomed = async () => {
      const found = await processesOf(this.home);
      const launcher = await identify(this.launcherPid());
      const ours = all ? found : found.filter(({ command }) => !command.includes(join(this.home, 'amphorae')));
      return [...(launcher ? [launcher] : []), ...ours];
    };
    await this.until('everything to be killed', async () => {
      const left = await doomed();
      for (const { pid } of left) process.kill(pid, 'SIGKILL');
      return left.length === 0;
    });
  }

  launcherPid(): number {
    return JSON.parse(readFileSync(join(this.home, 'launcher.json'), 'utf8')).pid;
  }

  postgresPid(): number {
    return Number(readFileSync(join(this.home, 'postgres/data/postmaster.pid'), 'utf8').split('\n')[0]);
  }

  async servicePid(name: string): Promise<number> {
    const found = (await processesOf(this.home)).find(({ command }) => command.includes(`apps/${name}/dist/main.js`));
    if (!found) throw new Error(`${name} does not run.`);
    return found.pid;
  }

  log(): string {
    return readFileSync(join(this.home, 'logs/launcher.log'), 'utf8');
  }

  /** Load balancer, listener, pool and one member. Returns the VIP. */
  async serve(name: string, memberPort: number, memberAddress = '127.0.0.1'): Promise<string> {
    const steps = [
      ['loadbalancer', 'create', '--name', name, '--wait'],
      `loadbalancer listener create --name l-${name} --protocol HTTP --protocol-port ${PORT} ${name}`.split(' '),
      `loadbalancer pool create --name p-${name} --lb-algorithm ROUND_ROBIN --listener l-${name} --protocol HTTP`.split(
        ' ',
      ),
      `loadbalancer member create --address ${memberAddress} --protocol-port ${memberPort} --wait p-${name}`.split(' '),
    ];
    for (const step of steps) await this.must(...step);
    return (await this.json('loadbalancer', 'show', name)).vip_address;
  }

  /** Runs octaviactl. @throws Error when it fails */
  async must(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.ctl(...args);
    if (code !== 0) throw new Error(`octaviactl ${args.join(' ')}: ${stderr}`);
    return stdout;
  }

  /** Milliseconds until a load balancer answers. */
  async backAfter(vip: string): Promise<number> {
    const startedAt = performance.now();
    await this.until(`traffic through ${vip}`, () => answers(vip));
    return Math.round(performance.now() - startedAt);
  }
}

/** Asks a load balancer all the time, until it is stopped. */
export function traffic(vip: string): { stop(): Promise<Seen> } {
  const seen = { requests: 0, failures: 0 };
  let isStopped = false;
  const asking = (async () => {
    while (!isStopped) {
      seen.requests += 1;
      if (!(await answers(vip))) seen.failures += 1;
      await sleep(REQUEST_EVERY_MS);
    }
  })();
  return {
    async stop() {
      isStopped = true;
      await asking;
      return seen;
    },
  };
}

/** Whether a load balancer answers one request on a connection of its own. */
export function answers(vip: string): Promise<boolean> {
  return new Promise((done) => {
    const request = httpGet({ host: vip, port: PORT, agent: false, timeout: 2_000 }, (response) => {
      response.resume().on('end', () => done(response.statusCode === 200));
      response.on('error', () => done(false));
    });
    request.on('timeout', () => request.destroy()).on('error', () => done(false));
  });
}
