import pg from 'pg';
import { assertSchemaIsKnown } from './migrate.ts';
import { Notifications } from './notifications.ts';
import { type Connection, RESULT_TYPE_CHANGED, run, type Statement } from './statements.ts';

/** A transaction: first argument of every repository method. `Database.reader` may stand in for it where nothing is written. */
export interface Tx {
  /**
   * Runs one statement. Several that do not depend on each other's results may be started before any is awaited: they travel
   * together, and run in that order.
   * @returns rows; of an UPDATE or DELETE `[rows, count]`
   */
  // biome-ignore lint/suspicious/noExplicitAny: the statement decides what comes.
  query<Result = any>(sql: string, values?: readonly unknown[]): Promise<Result>;
}

/** Sent together with COMMIT, after all else: when it fails, nothing is committed. */
export interface Guard extends Statement {
  /** What a failure of it means. Default: itself. */
  failure?(error: unknown): unknown;
}

export interface TransactionOptions {
  readonly guard?: Guard;
  /** True: it reads one snapshot, and writes nothing. */
  readonly isSnapshot?: boolean;
}

/** Tries of a transaction that PostgreSQL broke off for a deadlock or a serialisation failure. Both are rare, and a retry heals them. */
const TRANSACTION_TRIES = 4;
const RETRYABLE = new Set(['40001', '40P01', RESULT_TYPE_CHANGED]);

/**
 * Silence inside a transaction after which PostgreSQL ends the connection, in milliseconds. A process that was stopped there holds its
 * locks for ever otherwise, and whoever takes its work over waits for them. Nothing of ours waits for the world in a transaction.
 * With the lease of a flow, 5 s, it makes the 10 s in which a flow is taken over.
 */
const IDLE_IN_TRANSACTION_MS = 5_000;

export interface DatabaseOptions {
  /** Connection string; holds a password, never log it. */
  readonly url: string;
  /** Shown in pg_stat_activity. */
  readonly applicationName: string;
  /** Connections at most. Default: 10. */
  readonly poolSize?: number;
  /** Silence inside a transaction that ends it, in milliseconds. Default: 5,000. */
  readonly idleInTransactionMs?: number;
}

/** The database as one part of a process: pool, transactions and notifications. */
export class Database {
  readonly name = 'database';
  readonly notifications: Notifications;
  /** For reads that need no transaction, and for writes of one statement. */
  readonly reader: Tx;
  readonly #pool: pg.Pool;

  constructor(options: DatabaseOptions) {
    this.#pool = new pg.Pool({
      connectionString: options.url,
      application_name: options.applicationName,
      max: options.poolSize ?? 10,
      connectionTimeoutMillis: 10_000,
      idle_in_transaction_session_timeout: options.idleInTransactionMs ?? IDLE_IN_TRANSACTION_MS,
      keepAlive: true,
      pipeline: true,
    });
    // A lost connection of the pool is replaced by the next query; unheard, its error would end the process.
    this.#pool.on('error', ignore);
    this.reader = { query: (sql, values) => this.#read(sql, values) };
    this.notifications = new Notifications(options.url, `${options.applicationName} notifications`);
  }

  /** @throws Error when the schema is newer than this program, or not there yet */
  async start(): Promise<void> {
    await assertSchemaIsKnown(this.reader);
    await this.notifications.start();
  }

  async stop(): Promise<void> {
    await this.notifications.stop();
    if (!this.#pool.ending) await this.#pool.end();
  }

  /** Runs `work` in one READ COMMITTED transaction; repeats it when PostgreSQL broke it off for a deadlock. */
  async transaction<T>(work: (tx: Tx) => Promise<T>, options: TransactionOptions = {}): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#attempt(work, options);
      } catch (error) {
        if (attempt >= TRANSACTION_TRIES || !isRetryable(error)) throw error;
      }
    }
  }

  async #attempt<T>(work: (tx: Tx) => Promise<T>, { guard, isSnapshot = false }: TransactionOptions): Promise<T> {
    const client = await this.#pool.connect();
    // A connection that is cut while it is checked out emits `error`; unheard, that ends the process.
    client.on('error', ignore);
    let lost: Error | undefined;
    try {
      // Travels with the first statement, which fails as it does.
      client.query(isSnapshot ? 'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY' : 'BEGIN').catch(ignore);
      const result = await work(txOf(client));
      await commit(client, guard);
      return result;
    } catch (error) {
      await client.query('ROLLBACK').catch((cause: Error) => {
        lost = cause;
      });
      throw error;
    } finally {
      client.off('error', ignore);
      client.release(lost);
    }
  }

  // biome-ignore lint/suspicious/noExplicitAny: the statement decides what comes.
  async #read(sql: string, values?: readonly unknown[]): Promise<any> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await run(this.#pool, sql, values);
      } catch (error) {
        // Nothing was done: the statement could not even start.
        const isStale = (error as { code?: string }).code === RESULT_TYPE_CHANGED;
        if (attempt >= TRANSACTION_TRIES || !isStale) throw error;
      }
    }
  }
}

function txOf(connection: Connection): Tx {
  return { query: (sql, values) => run(connection, sql, values) };
}

/** Where a statement failed and the work went on none the less, PostgreSQL answers COMMIT with ROLLBACK, without an error. */
async function commit(client: pg.ClientBase, guard: Guard | undefined): Promise<void> {
  const guarded = guard
    ? run(client, guard.sql, guard.values).catch((error) => {
        throw guard.failure?.(error) ?? error;
      })
    : null;
  const [{ command }] = await Promise.all([client.query('COMMIT'), guarded]);
  if (command !== 'COMMIT')
    throw new Error('The transaction was rolled back, because one of its statements had failed.');
}

function isRetryable(error: unknown): boolean {
  return RETRYABLE.has((error as { code?: string }).code ?? '');
}

const ignore = (): void => {};
