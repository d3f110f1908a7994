import { randomBytes } from 'node:crypto';
import pg from 'pg';

export * from './rows.ts';

export interface TestDatabase {
  /** Connection string of a fresh, migrated database. */
  readonly url: string;
  /** Name of it on the server. */
  readonly database: string;
  /** Cuts all of its connections, as a restart of the server would. */
  cutConnections(): Promise<void>;
  /** Cuts all connections and drops it. */
  drop(): Promise<void>;
}

/** Makes a database that is a copy of the migrated template. Needs the project's vitest run to have `global-setup`. */
export async function testDatabase(): Promise<TestDatabase> {
  const server = process.env.OCTAVIA_TEST_DATABASE_SERVER;
  if (!server) throw new Error('No test server: does the package depend on @octavia/db, so that vitest starts one?');
  const database = `test_${randomBytes(6).toString('hex')}`;
  await onServer(server, `CREATE DATABASE ${database} TEMPLATE template_octavia`);
  const url = new URL(server);
  url.pathname = `/${database}`;
  return {
    url: url.href,
    database,
    cutConnections: () =>
      onServer(server, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '${database}'`),
    drop: () => onServer(server, `DROP DATABASE IF EXISTS ${database} WITH (FORCE)`),
  };
}

async function onServer(url: string, sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}
