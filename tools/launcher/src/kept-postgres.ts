import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type PostgresOptions, type PostgresServer, startPostgres } from '@octavia/postgres';
import { readIfThere } from './home.ts';

/** How often we look whether the server still runs: it may be adopted, and is then no child whose end we would hear of. */
const LOOK_EVERY_MS = 250;
/** After a start that failed the next one comes after this, doubled each time up to the limit. */
const RETRY_MS = 500;
const RETRY_LIMIT_MS = 10_000;

/** The embedded server, started again when it ends by itself. Services find it again without help. */
export class KeptPostgres {
  readonly url: string;
  readonly wasRunning: boolean;
  readonly #options: PostgresOptions;
  readonly #say: (line: string) => void;
  readonly #stopping = new AbortController();
  #server: PostgresServer;
  #watch: Promise<void>;

  constructor(options: PostgresOptions, server: PostgresServer, say: (line: string) => void) {
    this.#options = options;
    this.#server = server;
    this.#say = say;
    this.url = server.url;
    this.wasRunning = server.wasRunning;
    this.#watch = this.#keep();
  }

  /** @throws Error that says what to do */
  static async start(options: PostgresOptions, say: (line: string) => void): Promise<KeptPostgres> {
    return new KeptPostgres(options, await startPostgres(options), say);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#watch;
    await this.#server.stop();
  }

  async #keep(): Promise<void> {
    let retryMs = RETRY_MS;
    while (await this.#pause(LOOK_EVERY_MS)) {
      if (this.#server.isAlive()) continue;
      this.#say('PostgreSQL ended; starting it again');
      try {
        this.#server = await this.#startAgain();
        retryMs = RETRY_MS;
        this.#say('PostgreSQL runs again');
      } catch (error) {
        this.#say(`error: ${(error as Error).message}`);
        await this.#pause(retryMs);
        retryMs = Math.min(2 * retryMs, RETRY_LIMIT_MS);
      }
    }
  }

  /** Never makes a new data folder: with the old one gone, everything is, and an empty database would hide that. */
  async #startAgain(): Promise<PostgresServer> {
    const { dataFolder } = this.#options;
    if ((await readIfThere(join(dataFolder, 'PG_VERSION'))) === null) {
      throw new Error(
        `The data of PostgreSQL is gone from ${dataFolder}. Put it back, or stop the controller (npm stop).`,
      );
    }
    return startPostgres(this.#options);
  }

  /** False: we are asked to stop. */
  async #pause(ms: number): Promise<boolean> {
    await sleep(ms, undefined, { signal: this.#stopping.signal, ref: false }).catch(() => {});
    return !this.#stopping.signal.aborted;
  }
}
