import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Guest } from './guest.ts';

/** A client asks anew this often, whether it got an answer or not. Milliseconds. Source: how the goals of failover are stated. */
export const PROBE_EVERY_MS = 10;
/** A request that has no answer by then had none. */
const PATIENCE_MS = 1_000;

/** Runs in the guest: a line for each request that ended, with the time when it began and ended, and what came. */
const SCRIPT = `
const { get } = require('node:http');
const [host, port, every, timeout] = process.argv.slice(1);
process.stdin.resume().on('end', () => process.exit());
setInterval(() => {
  const begun = Date.now();
  let isSaid = false;
  const say = (what) => {
    if (!isSaid) process.stdout.write(begun + ' ' + Date.now() + ' ' + what + '\\n');
    isSaid = true;
  };
  const request = get({ host, port, agent: false, timeout: Number(timeout) }, (response) => {
    let body = '';
    response.setEncoding('utf8').on('data', (text) => { body += text; });
    response.on('error', (error) => say('- ' + error.code));
    response.on('end', () => say(response.statusCode === 200 ? '+ ' + body : '- ' + response.statusCode));
  });
  request.on('timeout', () => request.destroy(Object.assign(new Error(), { code: 'ETIMEDOUT' })));
  request.on('error', (error) => say('- ' + error.code));
}, Number(every));
`;

export interface Request {
  /** By Date.now(). */
  readonly begunAt: number;
  readonly endedAt: number;
  readonly isAnswered: boolean;
  /** Body of the answer, or what went wrong. */
  readonly said: string;
}

/** Asks a VIP from a guest, all the time, by a connection of its own each time. */
export class GuestClient {
  readonly #child: ChildProcess;
  readonly #requests: Request[] = [];
  readonly #closed: Promise<void>;

  constructor(guest: Guest, vip: string, port: number) {
    const settings = [vip, port, PROBE_EVERY_MS, PATIENCE_MS].map(String);
    const command = ['netns', 'exec', guest.namespace, process.execPath, '-e', SCRIPT, ...settings];
    // It ends with its standard input, so with us.
    this.#child = spawn('ip', command, { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#closed = new Promise((done) => this.#child.once('close', () => done()));
    if (!this.#child.stdout) throw new Error('A client without output.');
    createInterface({ input: this.#child.stdout }).on('line', (line) => {
      const [, begun, ended, sign, said = ''] = /^(\d+) (\d+) ([+-]) (.*)$/.exec(line) ?? [];
      this.#requests.push({ begunAt: Number(begun), endedAt: Number(ended), isAnswered: sign === '+', said });
    });
  }

  /** Requests that began at `since` or later and have ended, in the order of their end. */
  requests(since = 0): readonly Request[] {
    return this.#requests.filter(({ begunAt }) => begunAt >= since);
  }

  /** What requests that began at `since` or later were not answered with, by what went wrong. */
  failures(since: number): Record<string, number> {
    const found: Record<string, number> = {};
    for (const { isAnswered, said } of this.requests(since)) if (!isAnswered) found[said] = (found[said] ?? 0) + 1;
    return found;
  }

  /**
   * Waits for an answer to a request that began at `since` (now) or later, and returns it.
   * @throws Error after `limitMs`, with what went wrong
   */
  async answered(limitMs: number, since = Date.now()): Promise<Request> {
    const giveUpAt = performance.now() + limitMs;
    for (;;) {
      const found = this.requests(since).find(({ isAnswered }) => isAnswered);
      if (found) return found;
      if (performance.now() > giveUpAt) {
        throw new Error(`No answer in ${limitMs} ms: ${JSON.stringify(this.failures(since))}`);
      }
      await sleep(PROBE_EVERY_MS);
    }
  }

  /** Longest time between two answers, from the last one before `since` to now. Milliseconds. */
  gap(since: number): number {
    const at = this.#requests.filter(({ isAnswered }) => isAnswered).map(({ endedAt }) => endedAt);
    const first = at.findLast((one) => one < since) ?? since;
    const times = [first, ...at.filter((one) => one >= since), Date.now()];
    return Math.max(0, ...times.slice(1).map((one, i) => one - (times[i] ?? one)));
  }

  /** Forgets what was before `since`, so that a long run stays small. */
  forget(since: number): void {
    const kept = this.#requests.filter(({ endedAt }) => endedAt >= since);
    this.#requests.splice(0, this.#requests.length, ...kept);
  }

  async close(): Promise<void> {
    this.#child.stdin?.end();
    await this.#closed;
  }
}
