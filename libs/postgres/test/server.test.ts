import { chmod, chown, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import pg from 'pg';
import { afterEach, describe, expect, it } from 'vitest';
import { type PostgresServer, startPostgres } from '../src/index.ts';

const cleanUps: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const address = server.address();
  await new Promise((done) => server.close(done));
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

async function options() {
  const folder = await mkdtemp(join(tmpdir(), 'octavia-postgres-'));
  cleanUps.push(() => rm(folder, { recursive: true, force: true }));
  // The server's user must be able to enter, which mkdtemp's 0700 forbids when we are root.
  const home = join(folder, 'home');
  await mkdir(home);
  if (process.getuid?.() === 0) await chmod(folder, 0o755);
  return {
    dataFolder: join(home, 'data'),
    port: await freePort(),
    logFile: join(home, 'postgres.log'),
    password: "it's a secret/@:",
    binariesFolder: join(home, 'binaries'),
    settings: { fsync: 'off' },
  };
}

async function start(given: Awaited<ReturnType<typeof options>>): Promise<PostgresServer> {
  const server = await startPostgres(given);
  cleanUps.push(() => server.stop());
  return server;
}

async function query(url: string, sql: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query(sql)).rows;
  } finally {
    await client.end();
  }
}

describe('the embedded PostgreSQL server', () => {
  it('keeps its data over a stop and a start', async () => {
    const given = await options();
    const first = await start(given);
    await query(first.url, 'CREATE TABLE kept AS SELECT 42 AS answer');
    await first.stop();
    const second = await start(given);
    expect(await query(second.url, 'SELECT answer FROM kept')).toEqual([{ answer: 42 }]);
    expect(second.wasRunning).toBe(false);
  });

  it('is found again when it was left over', async () => {
    const given = await options();
    const first = await start(given);
    const second = await start(given);
    expect([second.wasRunning, second.pid]).toEqual([true, first.pid]);
  });

  it('refuses the data of another version, says so, and leaves it alone', async () => {
    const given = await options();
    await mkdir(given.dataFolder);
    await writeFile(join(given.dataFolder, 'PG_VERSION'), '13\n');
    if (process.getuid?.() === 0) await chown(given.dataFolder, 65534, 65534);
    await expect(startPostgres(given)).rejects.toThrow(/holds data of PostgreSQL 13/);
  });

  it('tells why it cannot start when its port is taken', async () => {
    const given = await options();
    const server = createServer((socket) => socket.destroy());
    await new Promise<void>((done) => server.listen(given.port, '127.0.0.1', done));
    cleanUps.push(() => new Promise((done) => server.close(done)));
    await expect(startPostgres(given)).rejects.toThrow(/could not bind|Address already in use/);
  });
});

describe('after a crash', () => {
  it('starts over when initdb was interrupted, and keeps nothing of it', async () => {
    const given = await options();
    // What kill -9 leaves: initdb writes PG_VERSION first of all.
    await mkdir(`${given.dataFolder}.part-1`);
    await writeFile(join(`${given.dataFolder}.part-1`, 'PG_VERSION'), '18\n');
    await writeFile(join(dirname(given.dataFolder), '.initdb-1'), 'a password');
    const server = await start(given);
    expect(await query(server.url, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
    const left = await readdir(dirname(given.dataFolder));
    expect(left.filter((name) => name.includes('.part-') || name.startsWith('.initdb-'))).toEqual([]);
  });

  it('stops a server that is left over on another port, and starts it where it is looked for', async () => {
    const given = await options();
    const first = await start(given);
    const second = await start({ ...given, port: await freePort() });
    expect(second.wasRunning).toBe(false);
    expect(first.isAlive()).toBe(false);
    expect(await query(second.url, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
  });

  it('stops a server that is suspended', async () => {
    const server = await start(await options());
    process.kill(server.pid, 'SIGSTOP');
    await server.stop();
    expect(server.isAlive()).toBe(false);
  });
});
