import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Guest } from './guest.ts';

/** A client asks anew this often, whether it got an answer or not. Milliseconds. Source: how the goals of failover are stated. */
export const PROBE_EVERY_MS = 10;
/** A request that has no answer by then had none. */
const PATIENCE_MS = 1_000;
/** What ended is told to us this often, not one by one: writing takes longer than asking. Milliseconds. */
const TELL_EVERY_MS = 5;

/**
 * Runs in the guest: a line for each request that ended, with its VIP's index, the time when it began and ended, how much later than
 * planned it began, and what came. Sockets without an HTTP client: a third of its processor time, so that what is measured is not it.
 */
const SCRIPT = `
const { connect } = require('node:net');
const [port, every, patience, tellEvery, ...hosts] = process.argv.slice(1).map((word, i) => (i < 4 ? Number(word) : word));
process.stdin.resume().on('end', () => process.exit());
let told = '';
setInterval(() => { if (told !== '') process.stdout.write(told); told = ''; }, tellEvery);
const outcome = (text) => {
  const end = text.indexOf('\\r\\n\\r\\n');
  if (end < 0) return '- nothing';
  const body = text.slice(end + 4);
  const length = /\\r\\ncontent-length: *(\\d+)/i.exec(text.slice(0, end));
  if (text.slice(9, 12) !== '200') return '- ' + text.slice(9, 12);
  return length && body.length < Number(length[1]) ? '- half an answer' : '+ ' + body;
};
const ask = (index, late) => {
  const begun = Date.now();
  const socket = connect({ host: hosts[index], port, noDelay: true });
  let text = '';
  let isSaid = false;
  const say = (what) => {
    if (isSaid) return;
    isSaid = true;
    clearTimeout(timer);
    socket.destroy();
    told += index + ' ' + begun + ' ' + Date.now() + ' ' + late.toFixed(1) + ' ' + what + '\\n';
  };
  const timer = setTimeout(say, patience, '- ETIMEDOUT');
  socket.setEncoding('latin1').on('data', (part) => { text += part; });
  socket.on('error', (error) => say('- ' + error.code)).on('end', () => say(outcome(text)));
  socket.write('GET / HTTP/1.1\\r\\nHost: ' + hosts[index] + ':' + port + '\\r\\nConnection: close\\r\\n\\r\\n');
};
hosts.forEach((_, index) => {
  let due = performance.now() + (index * every) / hosts.length;
  const tick = () => {
    const late = Math.max(0, performance.now() - due);
    ask(index, late);
    due += every * Math.max(1, Math.ceil(late / every));
    setTimeout(tick, Math.max(0, due - performance.now()));
  };
  setTimeout(tick, (index * every) / hosts.length);
});
`;

export interface Request {
  /** By Date.now(). */
  readonly begunAt: number;
  readonly endedAt: number;
  readonly isAnswered: boolean;
  /** Body of the answer, or what went wrong. */
  readonly said: string;
}

/** Asks VIPs from a guest, all the time, by a connection of its own each time: one process for all of them. */
export class GuestProber {
  /** How much later than planned each request began, in milliseconds: what the prober itself, or the machine, adds to a gap. */
  readonly delays: number[] = [];
  readonly #child: ChildProcess;
  readonly #clients: ReadonlyMap<string, GuestClient>;
  readonly #closed: Promise<void>;

  constructor(guest: Guest, vips: readonly string[], port: number) {
    const settings = [port, PROBE_EVERY_MS, PATIENCE_MS, TELL_EVERY_MS, ...vips].map(String);
    const command = ['netns', 'exec', guest.namespace, process.execPath, '-e', SCRIPT, ...settings];
    // It ends with its standard input, so with us.
    this.#child = spawn('ip', command, { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#closed = new Promise((done) => this.#child.once('close', () => done()));
    this.#clients = new Map(vips.map((vip) => [vip, new GuestClient()]));
    const clients = [...this.#clients.values()];
    if (!this.#child.stdout) throw new Error('A client without output.');
    createInterface({ input: this.#child.stdout }).on('line', (line) => {
      const [, index, begun, ended, late, sign, said = ''] =
        /^(\d+) (\d+) (\d+) ([\d.]+) ([+-]) (.*)$/.exec(line) ?? [];
      this.delays.push(Number(late));
      clients[Number(index)]?.note({ begunAt: Number(begun), endedAt: Number(ended), isAnswered: sign === '+', said });
    });
  }

  /** @throws Error when it is not one of the VIPs that are asked */
  client(vip: string): GuestClient {
    const client = this.#clients.get(vip);
    if (!client) throw new Error(`Nobody asks ${vip}.`);
    return client;
  }

  async close(): Promise<void> {
    this.#child.stdin?.end();
    await this.#closed;
  }
}

/** What a client of one VIP got. */
export class GuestClient {
  readonly #requests: Request[] = [];
  readonly #waiting = new Set<(request: Request) => void>();

  /** For the prober: a request has ended. */
  note(request: Request): void {
    this.#requests.push(request);
    for (const wake of this.#waiting) wake(request);
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
   * @throws Error after `limitMs`, with what went wrong; the signal's reason when that comes first
   */
  answered(limitMs: number, since = Date.now(), signal?: AbortSignal): Promise<Request> {
    const found = this.#requests.find((one) => one.isAnswered && one.begunAt >= since);
    if (found) return Promise.resolve(found);
    return new Promise((done, fail) => {
      const giveUp = (): void =>
        end(() => fail(new Error(`No answer in ${limitMs} ms: ${JSON.stringify(this.failures(since))}`)));
      const stop = (): void => end(() => fail(signal?.reason));
      const wake = (request: Request): void => {
        if (request.isAnswered && request.begunAt >= since) end(() => done(request));
      };
      const timer = setTimeout(giveUp, limitMs);
      const end = (settle: () => void): void => {
        clearTimeout(timer);
        this.#waiting.delete(wake);
        signal?.removeEventListener('abort', stop);
        settle();
      };
      this.#waiting.add(wake);
      if (signal?.aborted) stop();
      else signal?.addEventListener('abort', stop);
    });
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
}
