import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Installation, SERVICES } from '../../src/installation.ts';

/** Between two blows, in milliseconds. */
const SHORTEST_MS = 100;
const LONGEST_MS = 1_500;
/** How long a stopped process sleeps: shorter and longer than a lease, in milliseconds. */
const LONGEST_SLEEP_MS = 3_000;

/** Kills and stops processes of an installation at random. */
export class Chaos {
  /** Blows by what they were. */
  readonly tally = new Map<string, number>();
  readonly #installation: Installation;
  readonly #random: () => number;
  #second: ChildProcess | null = null;
  #isOver = false;

  constructor(installation: Installation, random: () => number) {
    this.#installation = installation;
    this.#random = random;
  }

  /** Until `stop`. Beside the launcher's there is a second worker, so that one takes over from the other. */
  async run(): Promise<void> {
    const command = this.#commandOfWorker();
    while (!this.#isOver) {
      if (!this.#second || this.#second.exitCode !== null || this.#second.signalCode !== null) {
        this.#second = spawn(command.program, command.args, { env: command.env, stdio: 'ignore' });
      }
      await sleep(SHORTEST_MS + this.#random() * (LONGEST_MS - SHORTEST_MS));
      await this.#strike();
    }
    this.#second?.kill('SIGKILL');
  }

  stop(): void {
    this.#isOver = true;
  }

  async #strike(): Promise<void> {
    const die = this.#random();
    if (die < 0.1) return this.#hit('postgres, kill -9', this.#postmaster(), 'SIGKILL');
    if (die < 0.15) return this.#hit('postgres, restart', this.#postmaster(), 'SIGINT');
    if (die < 0.4) return this.#hit('second worker, kill -9', this.#second?.pid, 'SIGKILL');
    const service = SERVICES[Math.floor(this.#random() * SERVICES.length)] ?? 'worker';
    const pid = die < 0.55 ? this.#second?.pid : this.#pidOf(service);
    if (die > 0.7) return this.#hit(`${service}, kill -9`, pid, 'SIGKILL');
    const sleepMs = this.#random() * LONGEST_SLEEP_MS;
    this.#hit(`${die < 0.55 ? 'second worker' : service}, stopped for a while`, pid, 'SIGSTOP');
    await sleep(sleepMs);
    this.#send(pid, 'SIGCONT');
  }

  #hit(what: string, pid: number | undefined, signal: NodeJS.Signals): void {
    if (this.#send(pid, signal)) this.tally.set(what, (this.tally.get(what) ?? 0) + 1);
  }

  #send(pid: number | undefined, signal: NodeJS.Signals): boolean {
    try {
      return pid !== undefined && process.kill(pid, signal);
    } catch {
      return false; // It has ended already.
    }
  }

  #pidOf(service: string): number | undefined {
    return this.#installation.processesWith(`apps/${service}/dist/main.js`)[0];
  }

  #postmaster(): number | undefined {
    try {
      const file = join(this.#installation.home, 'postgres/data/postmaster.pid');
      return Number(readFileSync(file, 'utf8').split('\n')[0]) || undefined;
    } catch {
      return undefined;
    }
  }

  /** As the launcher runs it, with ports of its own and without the launcher's pipe. */
  #commandOfWorker() {
    const pid = this.#installation.pidOf('worker');
    const [program = '', ...args] = entriesOf(pid, 'cmdline');
    const env = Object.fromEntries(
      entriesOf(pid, 'environ').flatMap((line) => {
        const at = line.indexOf('=');
        return at > 0 && !line.startsWith('OCTAVIA_PARENT_FD') ? [[line.slice(0, at), line.slice(at + 1)]] : [];
      }),
    );
    return { program, args, env: { ...env, GRPC_BIND: '127.0.0.1:0', METRICS_BIND: '127.0.0.1:0' } };
  }
}

function entriesOf(pid: number, file: 'cmdline' | 'environ'): string[] {
  return readFileSync(`/proc/${pid}/${file}`, 'utf8').split('\0').slice(0, -1);
}
