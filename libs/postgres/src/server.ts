import { execFile, spawn } from 'node:child_process';
import { chown, mkdir, open, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import pg from 'pg';
import { findBinaries, identity, type ServerUser, serverUser } from './binaries.ts';

const run = promisify(execFile);

/** How long a server may take to start or stop, ms. Measured: 50 to 110 ms; a recovery after a crash takes longer. */
const START_LIMIT_MS = 60_000;
const STOP_LIMIT_MS = 20_000;
const SUPERUSER = 'octavia';

export interface PostgresOptions {
  /** Where the data is kept; made when it is not there. */
  readonly dataFolder: string;
  /** TCP port on 127.0.0.1. */
  readonly port: number;
  /** File that gets the server's log. */
  readonly logFile: string;
  /** Password of the superuser `octavia`; used when the data folder is made and to connect. */
  readonly password: string;
  /** Where to copy the programs when the server's user cannot reach the installed ones. */
  readonly binariesFolder: string;
  /** Settings of postgresql.conf, such as `{ fsync: 'off' }` for tests. */
  readonly settings?: Readonly<Record<string, string>>;
}

export interface PostgresServer {
  /** Connection string of the superuser for the database `postgres`, password included: never log it. */
  readonly url: string;
  readonly pid: number;
  /** True when it ran already, left over from before. */
  readonly wasRunning: boolean;
  /** Whether its process still runs. */
  isAlive(): boolean;
  /** Disconnects clients and shuts down cleanly. */
  stop(): Promise<void>;
}

/**
 * Starts a PostgreSQL server on 127.0.0.1, or finds the one that still runs on the data folder. It runs in a session of its own, so
 * that Ctrl-C does not end it before its clients.
 * @throws Error that says what to do: data of another version, port taken, folder not writable, disk full
 */
export async function startPostgres(options: PostgresOptions): Promise<PostgresServer> {
  const user = await serverUser();
  const bin = await findBinaries(user, options.binariesFolder);
  const url = `postgresql://${SUPERUSER}:${encodeURIComponent(options.password)}@127.0.0.1:${options.port}/postgres`;

  await prepareDataFolder(bin, user, options);
  const leftOver = await runningServer(options.dataFolder);
  if (leftOver?.port === options.port) {
    await waitUntilReady(url, () => isAlive(leftOver.pid), options.logFile);
    return serverOf(url, leftOver.pid, true);
  }
  // It listens where nobody will look for it.
  if (leftOver) await stopPostgres(leftOver.pid);

  const log = await open(options.logFile, 'a', 0o600);
  const child = spawn(join(bin, 'postgres'), ['-D', options.dataFolder, ...serverArguments(options)], {
    cwd: '/',
    detached: true,
    stdio: ['ignore', log.fd, log.fd],
    ...identity(user),
  });
  await log.close();
  const pid = child.pid;
  if (pid === undefined) throw new Error(`PostgreSQL could not be started from ${bin}.`);
  let ended = false;
  child.once('exit', () => {
    ended = true;
  });
  child.unref();
  await waitUntilReady(url, () => !ended, options.logFile);
  return serverOf(url, pid, false);
}

function serverOf(url: string, pid: number, wasRunning: boolean): PostgresServer {
  return { url, pid, wasRunning, isAlive: () => isAlive(pid), stop: () => stopPostgres(pid) };
}

function serverArguments({ port, settings = {} }: PostgresOptions): string[] {
  const all = { listen_addresses: '127.0.0.1', port: String(port), unix_socket_directories: '', ...settings };
  return Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
}

async function prepareDataFolder(bin: string, user: ServerUser | null, options: PostgresOptions): Promise<void> {
  const found = await readFile(join(options.dataFolder, 'PG_VERSION'), 'utf8').catch(() => null);
  const { stdout } = await run(join(bin, 'postgres'), ['--version'], { cwd: '/', ...identity(user) });
  const ours = /\d+/.exec(stdout)?.[0];
  if (found !== null) {
    if (found.trim() === ours) return;
    throw new Error(
      `${options.dataFolder} holds data of PostgreSQL ${found.trim()}; this is PostgreSQL ${ours}. Nothing was changed. ` +
        'Start the release that made it and take a backup, or point OCTAVIA_HOME to an empty folder.',
    );
  }
  // A crash leaves a part, never half a data folder: initdb writes PG_VERSION first, so that file says nothing about the rest.
  const folder = dirname(options.dataFolder);
  await removeParts(options.dataFolder);
  const part = `${options.dataFolder}${PART}${process.pid}`;
  await mkdir(part, { recursive: true, mode: 0o700 });
  const passwordFile = join(folder, `.initdb-${process.pid}`);
  await writeFile(passwordFile, options.password, { mode: 0o600 });
  try {
    if (user) {
      await chown(part, user.uid, user.gid);
      await chown(passwordFile, user.uid, user.gid);
    }
    await run(
      join(bin, 'initdb'),
      ['-D', part, '-U', SUPERUSER, `--pwfile=${passwordFile}`, '--auth=scram-sha-256'].concat(
        ['--encoding=UTF8', '--locale=C', '--no-instructions'],
        options.settings?.fsync === 'off' ? ['--no-sync'] : [],
      ),
      { cwd: '/', ...identity(user) },
    );
    await rename(part, options.dataFolder);
  } catch (cause) {
    await rm(part, { recursive: true, force: true });
    const output = (cause as { stderr?: string }).stderr?.trim() || String(cause);
    const isFull = /no space left/i.test(output);
    throw new Error(
      `PostgreSQL could not make its data folder ${options.dataFolder}: ${output}. ` +
        (isFull
          ? 'Its disk is full: free some space, then start again.'
          : 'Put that right, then start again: nothing was kept.'),
      { cause },
    );
  } finally {
    await rm(passwordFile, { force: true });
  }
}

/** Ending of the folder in which a data folder is made, before the pid of its maker. */
const PART = '.part-';

/** What interrupted starts left; an initdb that outlived its launcher fails when its folder goes. */
async function removeParts(dataFolder: string): Promise<void> {
  const folder = dirname(dataFolder);
  const names = await readdir(folder).catch(() => []);
  const parts = names.filter(
    (name) => name.startsWith(`${basename(dataFolder)}${PART}`) || name.startsWith('.initdb-'),
  );
  for (const name of parts) await rm(join(folder, name), { recursive: true, force: true, maxRetries: 5 });
}

/** The server that runs on the data folder; null: none does. */
async function runningServer(dataFolder: string): Promise<{ readonly pid: number; readonly port: number } | null> {
  const lines = (await readFile(join(dataFolder, 'postmaster.pid'), 'utf8').catch(() => '')).split('\n');
  const pid = Number(lines[0]);
  if (!Number.isInteger(pid) || pid <= 1 || !isAlive(pid)) return null;
  // A pid that the system gave to something else meanwhile is no server: PostgreSQL itself removes the stale file.
  const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
  // Fourth line: its port. Source: PostgreSQL's miscadmin.h.
  return command.includes('postgres') ? { pid, port: Number(lines[3]) } : null;
}

async function waitUntilReady(url: string, lives: () => boolean, logFile: string): Promise<void> {
  const giveUpAt = performance.now() + START_LIMIT_MS;
  for (;;) {
    const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 2000 });
    client.on('error', () => {});
    try {
      await client.connect();
      return;
    } catch (cause) {
      const ended = !lives();
      if (ended || performance.now() > giveUpAt) {
        throw new Error(
          `PostgreSQL ${ended ? 'ended while it started' : `did not answer within ${START_LIMIT_MS / 1000} s`}. ` +
            `Its last words in ${logFile}: ${await lastLines(logFile)}`,
          { cause },
        );
      }
      await sleep(20);
    } finally {
      await client.end().catch(() => {});
    }
  }
}

async function stopPostgres(pid: number): Promise<void> {
  // SIGINT is a fast shutdown: clients are disconnected, data is flushed. SIGQUIT gives up on the flush; recovery does it later.
  for (const [signal, limitMs] of [
    ['SIGINT', STOP_LIMIT_MS],
    ['SIGQUIT', STOP_LIMIT_MS],
  ] as const) {
    if (!isAlive(pid)) return;
    process.kill(pid, signal);
    // Whoever is suspended hears no signal before he goes on.
    process.kill(pid, 'SIGCONT');
    const giveUpAt = performance.now() + limitMs;
    while (isAlive(pid) && performance.now() < giveUpAt) await sleep(10);
  }
  if (isAlive(pid))
    throw new Error(`PostgreSQL (pid ${pid}) does not stop. Its log says why; kill -9 ${pid} is the last resort.`);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

async function lastLines(file: string): Promise<string> {
  const text = await readFile(file, 'utf8').catch(() => '');
  return text.trim().split('\n').slice(-5).join(' | ') || '(none)';
}
