import { DataSource, type EntityManager, type EntitySchema, type QueryRunner } from 'typeorm';
import { assertSchemaIsKnown } from './migrate.ts';
import { Notifications } from './notifications.ts';

/** A transaction: first argument of every repository method. `Database.reader` may stand in for it where nothing is written. */
export type Tx = EntityManager;

/** Tries of a transaction that PostgreSQL broke off for a deadlock or a serialisation failure. Both are rare, and a retry heals them. */
const TRANSACTION_TRIES = 4;
const RETRYABLE = new Set(['40001', '40P01']);

export interface DatabaseOptions {
  /** Connection string; holds a password, never log it. */
  readonly url: string;
  /** Shown in pg_stat_activity. */
  readonly applicationName: string;
  /** Connections at most. Default: 10. */
  readonly poolSize?: number;
}

/** The database as one part of a process: pool, transactions and notifications. */
export class Database {
  readonly name = 'database';
  readonly notifications: Notifications;
  readonly #source: DataSource;

  constructor(options: DatabaseOptions, entities: readonly EntitySchema[]) {
    this.#source = new DataSource({
      type: 'postgres',
      url: options.url,
      applicationName: options.applicationName,
      poolSize: options.poolSize ?? 10,
      entities: [...entities],
      synchronize: false,
      connectTimeoutMS: 10_000,
      // A lost connection of the pool is replaced by the next query; without a handler it would end the process.
      poolErrorHandler: () => {},
      extra: { keepAlive: true },
    });
    this.notifications = new Notifications(options.url, `${options.applicationName} notifications`);
  }

  /** @throws Error when the schema is newer than this program, or not there yet */
  async start(): Promise<void> {
    await this.#source.initialize();
    await assertSchemaIsKnown(this.#source);
    await this.notifications.start();
  }

  async stop(): Promise<void> {
    await this.notifications.stop();
    if (this.#source.isInitialized) await this.#source.destroy();
  }

  /** For reads that need no transaction. */
  get reader(): Tx {
    return this.#source.manager;
  }

  /** Runs `work` in one READ COMMITTED transaction; repeats it when PostgreSQL broke it off for a deadlock. */
  async transaction<T>(work: (tx: Tx) => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#source.transaction(async (tx) => {
          // A connection that is cut while it is checked out emits `error`; unheard, that ends the process.
          const client = await tx.queryRunner?.connect();
          client?.on?.('error', ignore);
          try {
            return await work(tx);
          } finally {
            client?.off?.('error', ignore);
          }
        });
      } catch (error) {
        if (attempt >= TRANSACTION_TRIES || !RETRYABLE.has((error as { code?: string }).code ?? '')) throw error;
      }
    }
  }

  /** A connection of its own for as long as the caller keeps it, for statements on the hot path. Release it. */
  queryRunner(): QueryRunner {
    return this.#source.createQueryRunner();
  }
}

const ignore = (): void => {};
