import { createHmac } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { deflateSync } from 'node:zlib';
import type { Installation } from './installation.ts';

/** Datagrams of one burst between two short rests, so that the socket of heartbeat-udp overflows in none. */
const BURST = 50;

const NO_TRAFFIC = { tx: 0, rx: 0, conns: 0, totconns: 0, ereq: 0 };

/** Heartbeats in the place of noop amphorae, which send none: all of them at once, again and again, but for those that are silenced. */
export class Heartbeats {
  readonly #socket: Socket = createSocket('udp4');
  readonly #port: number;
  readonly #key: string;
  readonly #seq = new Map<string, number>();
  #heard: readonly string[] = [];
  #silent: ReadonlySet<string> = new Set();
  #isOn = true;
  #running: Promise<void>;

  /** @param everyMs time between two rounds; @param beating amphorae that live, and the listeners that each serves */
  constructor({ home }: Installation, everyMs: number, beating: () => Promise<ReadonlyMap<string, readonly string[]>>) {
    this.#port = JSON.parse(readFileSync(join(home, 'installation.json'), 'utf8')).ports.heartbeats;
    this.#key = readFileSync(join(home, 'secrets/heartbeat.key'), 'utf8').trim();
    this.#running = this.#run(everyMs, beating);
  }

  /** Amphorae that were heard in the last round. */
  get heard(): readonly string[] {
    return this.#heard;
  }

  /** These fall silent, for good. */
  silence(ids: readonly string[]): void {
    this.#silent = new Set([...this.#silent, ...ids]);
  }

  async stop(): Promise<void> {
    this.#isOn = false;
    await this.#running;
    this.#socket.close();
  }

  async #run(everyMs: number, beating: () => Promise<ReadonlyMap<string, readonly string[]>>): Promise<void> {
    while (this.#isOn) {
      const startedAt = performance.now();
      const all = [...(await beating())];
      for (const [index, [id, listeners]] of all.entries()) {
        if (this.#silent.has(id)) continue;
        await this.#send(id, listeners);
        if (index % BURST === BURST - 1) await sleep(1);
      }
      this.#heard = all.map(([id]) => id);
      await sleep(Math.max(1, everyMs - (performance.now() - startedAt)));
    }
  }

  #send(id: string, serving: readonly string[]): Promise<void> {
    const seq = (this.#seq.get(id) ?? -1) + 1;
    this.#seq.set(id, seq);
    const listeners = Object.fromEntries(serving.map((listener) => [listener, { status: 'OPEN', stats: NO_TRAFFIC }]));
    const body = deflateSync(JSON.stringify({ id, seq, ver: 3, boot: 'bench', listeners, pools: {} }));
    const signed = Buffer.concat([body, Buffer.from(createHmac('sha256', this.#key).update(body).digest('hex'))]);
    return new Promise((done, fail) =>
      this.#socket.send(signed, this.#port, '127.0.0.1', (error) => (error ? fail(error) : done())),
    );
  }
}
