import { randomBytes } from 'node:crypto';
import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startPostgres } from '@octavia/postgres';
import pg from 'pg';
import { migrate } from '../core/migrate.ts';

/** Vitest's global set-up: one PostgreSQL server for the run, with a migrated template that each test file copies. */
export default async function setup(): Promise<() => Promise<void>> {
  const folder = await mkdtemp(join(tmpdir(), 'octavia-db-'));
  // The server's user must be able to enter, and mkdtemp makes it 0700.
  await chmod(folder, 0o755);
  const home = join(folder, 'postgres');
  await mkdir(home);
  const server = await startPostgres({
    dataFolder: join(home, 'data'),
    port: await freePort(),
    logFile: join(home, 'server.log'),
    password: randomBytes(12).toString('hex'),
    binariesFolder: join(home, 'binaries'),
    settings: { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off', max_connections: '300' },
  });
  const client = new pg.Client({ connectionString: server.url });
  await client.connect();
  await client.query('CREATE DATABASE template_octavia');
  await client.end();
  const template = new URL(server.url);
  template.pathname = '/template_octavia';
  await migrate(template.href);
  process.env.OCTAVIA_TEST_DATABASE_SERVER = server.url;
  return async () => {
    await server.stop();
    await rm(folder, { recursive: true, force: true });
  };
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const address = server.address();
  await new Promise((done) => server.close(done));
  if (address === null || typeof address === 'string') throw new Error('The system gave no port.');
  return address.port;
}
