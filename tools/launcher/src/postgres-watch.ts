import { setTimeout as sleep } from 'node:timers/promises';
import type { PostgresServer } from '@octavia/postgres';
import { identify, lives } from './processes.ts';

/** How soon the end of the server is noticed, in milliseconds. */
const LOOK_MS = 200;
/** After a start that failed, doubled each time up to the limit. The first may fail while old backends still end. */
const RETRY_MS = 200;
const RETRY_LIMIT_MS = 10_000;

/**
 * Keeps the embedded PostgreSQL running: when it ends by itself it is started again, and recovers what was committed. The services
 * connect again by themselves.
 */
export class PostgresWatch {
  readonly #again: () => Promise<PostgresServer>;
  readonly #say: (line: string) => void;
  readonly #stopping = new AbortController();
  readonly #watching: Promise<void>;
  #server: PostgresServer;

  /** @param again starts it on the same data */
  constructor(server: PostgresServer, again: () => Promise<PostgresServer>, say: (line: string) => void) {
    this.#server = server;
    this.#again = again;
    this.#say = say;
    this.#watching = this.#watch();
  }

  /** Ends the watch, then the server. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#watching;
    await this.#server.stop();
  }

  async #watch(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      await this.#untilItEnds(signal);
      if (signal.aborted) return;
      const endedAt = performance.now();
      this.#say('database: PostgreSQL ended by itself; starting it again');
      await this.#start(signal);
      if (!signal.aborted) {
        this.#say(`database: PostgreSQL runs again after ${Math.round(performance.now() - endedAt)} ms`);
      }
    }
  }

  async #untilItEnds(signal: AbortSignal): Promise<void> {
    const postmaster = await identify(this.#server.pid);
    while (postmaster && (await lives(postmaster))) {
      await pause(LOOK_MS, signal);
      if (signal.aborted) return;
    }
  }

  async #start(signal: AbortSignal): Promise<void> {
    for (let waitMs = RETRY_MS; !signal.aborted; waitMs = Math.min(2 * waitMs, RETRY_LIMIT_MS)) {
      try {
        this.#server = await this.#again();
        return;
      } catch (error) {
        this.#say(`database: ${error instanceof Error ? error.message : String(error)} Trying again in ${waitMs} ms.`);
        await pause(waitMs, signal);
      }
    }
  }
}

/** Ends early, and without an error, when the signal aborts. */
async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => {});
}
