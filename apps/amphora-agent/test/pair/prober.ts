import { request } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';

/** A client asks anew this often, whether it got an answer or not. */
const PROBE_EVERY_MS = 10;
/** A request that has no answer by then had none. */
const PATIENCE_MS = 1_000;

/** One request on a connection of its own; null: no answer. @param from address of the client */
export function ask(vip: string, from: string): Promise<string | null> {
  return new Promise((resolve) => {
    const options = { host: vip, port: 80, path: '/', agent: false, localAddress: from, timeout: PATIENCE_MS };
    const call = request({ ...options, headers: { Connection: 'close' } }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (part: string) => {
        text += part;
      });
      response.on('end', () => resolve(response.statusCode === 200 ? text : null));
      response.on('error', () => resolve(null));
    });
    call.on('timeout', () => call.destroy());
    call.on('error', () => resolve(null));
    call.end();
  });
}

/** Asks all the time, and knows the longest time without an answer. */
export class Prober {
  readonly #vip: string;
  readonly #from: string;
  readonly #answeredAt: number[] = [];
  #isStopped = false;
  #running: Promise<void>;

  constructor(vip: string, from: string) {
    this.#vip = vip;
    this.#from = from;
    this.#running = this.#run();
  }

  /** Waits for an answer to a question of now. */
  async answered(): Promise<void> {
    const before = this.#answeredAt.length;
    while (this.#answeredAt.length <= before) await delay(PROBE_EVERY_MS);
  }

  /** Longest time between two answers since `since`, the one before it included. Milliseconds. */
  gap(since: number): number {
    const first = Math.max(0, this.#answeredAt.findIndex((at) => at >= since) - 1);
    const after = this.#answeredAt.slice(first);
    return Math.max(0, ...after.slice(1).map((at, i) => at - (after[i] ?? at)));
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#running;
  }

  async #run(): Promise<void> {
    const asking = new Set<Promise<void>>();
    while (!this.#isStopped) {
      const one: Promise<void> = ask(this.#vip, this.#from).then((answer) => {
        if (answer !== null) this.#answeredAt.push(performance.now());
        asking.delete(one);
      });
      asking.add(one);
      await delay(PROBE_EVERY_MS);
    }
    await Promise.all(asking);
  }
}
