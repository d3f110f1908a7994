import { join } from 'node:path';
import { migrate } from '@octavia/db';
import pg from 'pg';
import { type Home, readIfThere, writeWhole } from './home.ts';
import { type Installation, isFree, type Secrets } from './installation.ts';
import { KeptPostgres } from './kept-postgres.ts';

const DATABASE = 'octavia';
/** PostgreSQL from this version on. Source: design section 7. */
const OLDEST_VERSION = 140_000;

export interface RunningDatabase {
  /** Such as `PostgreSQL 18.4, embedded`. */
  readonly description: string;
  /** File with the connection string (0600). */
  readonly urlFile: string;
  /** Migrations that were applied now. */
  readonly applied: readonly string[];
  stop(): Promise<void>;
}

/** A server that answers, and the database on it, whatever its schema. */
export interface ReachableDatabase {
  readonly url: string;
  /** Such as `embedded`. */
  readonly whose: string;
  stop(): Promise<void>;
}

/** The caller's PostgreSQL (`DATABASE_URL_FILE`, or `DATABASE_URL` for development), else the embedded one, started. */
export async function reachDatabase(
  home: Home,
  installation: Installation,
  secrets: Secrets,
  env: NodeJS.ProcessEnv,
  say: (line: string) => void,
): Promise<ReachableDatabase> {
  if (env.DATABASE_URL)
    say('DATABASE_URL is for development only: others can read an environment. Use DATABASE_URL_FILE.');
  const given = env.DATABASE_URL_FILE ? (await readIfThere(env.DATABASE_URL_FILE))?.trim() : env.DATABASE_URL;
  if (env.DATABASE_URL_FILE && !given) {
    throw new Error(`DATABASE_URL_FILE names ${env.DATABASE_URL_FILE}, which holds no connection string.`);
  }
  if (given) return { url: given, whose: 'yours', stop: async () => {} };
  const server = await embedded(home, installation, secrets, say);
  try {
    await makeDatabase(server.url);
  } catch (error) {
    await server.stop();
    throw error;
  }
  const whose = server.wasRunning ? 'embedded, was still running' : 'embedded';
  return { url: databaseUrl(server), whose, stop: () => server.stop() };
}

/** Where the services find the connection string; the launcher writes it at each start. */
export function databaseUrlFile(home: Home): string {
  return join(home.secrets, 'database-url');
}

/** The database, reachable and migrated. */
export async function openDatabase(...args: Parameters<typeof reachDatabase>): Promise<RunningDatabase> {
  const [home, installation] = args;
  const { url, whose, stop } = await reachDatabase(...args);
  try {
    const version = await check(url);
    const urlFile = databaseUrlFile(home);
    await writeWhole(urlFile, `${url}\n`);
    const applied = await migrate(url);
    await claim(url, installation.id);
    return { description: `PostgreSQL ${version}, ${whose}`, urlFile, applied, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function embedded(
  home: Home,
  { ports }: Installation,
  secrets: Secrets,
  say: (line: string) => void,
): Promise<KeptPostgres> {
  const isRunning = (await readIfThere(join(home.postgres, 'data', 'postmaster.pid')).catch(() => null)) !== null;
  if (!isRunning && !(await isFree(ports.postgres))) {
    throw new Error(
      `Port ${ports.postgres} of 127.0.0.1, on which PostgreSQL shall listen, is in use. Stop what uses it (ss -ltnp shows it), then start again.`,
    );
  }
  return KeptPostgres.start(
    {
      dataFolder: join(home.postgres, 'data'),
      port: ports.postgres,
      logFile: join(home.logs, 'postgres.log'),
      password: secrets.databasePassword,
      binariesFolder: join(home.postgres, 'binaries'),
      settings: { max_connections: '100', shared_buffers: '64MB' },
    },
    say,
  );
}

function databaseUrl(server: KeptPostgres): string {
  const url = new URL(server.url);
  url.pathname = `/${DATABASE}`;
  return url.href;
}

async function makeDatabase(serverUrl: string): Promise<void> {
  await withClient(serverUrl, async (client) => {
    const { rowCount } = await client.query('SELECT 1 FROM pg_database WHERE datname = $1', [DATABASE]);
    if (!rowCount) await client.query(`CREATE DATABASE ${DATABASE}`);
  });
}

async function check(url: string): Promise<string> {
  return withClient(url, async (client) => {
    const { rows } = await client.query(
      `SELECT current_setting('server_version') AS version, current_setting('server_version_num')::int AS number`,
    );
    if (rows[0].number < OLDEST_VERSION) {
      throw new Error(`This is PostgreSQL ${rows[0].version}; the controller needs 14 or later.`);
    }
    return String(rows[0].version).split(' ')[0] ?? '';
  });
}

/** A database serves one installation: two data folders on one database would fight over addresses and processes. */
async function claim(url: string, installationId: string): Promise<void> {
  await withClient(url, async (client) => {
    await client.query('INSERT INTO installation (id) VALUES ($1) ON CONFLICT (only_row) DO NOTHING', [installationId]);
    const { rows } = await client.query('SELECT id FROM installation');
    if (rows[0].id !== installationId) {
      throw new Error(
        `This database belongs to installation ${rows[0].id}, the data folder to ${installationId}. Nothing was changed. ` +
          'Use the data folder that belongs to it, or another database.',
      );
    }
  });
}

async function withClient<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 10_000 });
  client.on('error', () => {});
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}
