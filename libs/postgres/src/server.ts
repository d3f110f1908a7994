import { execFile, spawn } from 'node:child_process';
import { chown, mkdir, open, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
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
  const leftOver = await runningPid(options.dataFolder);
  if (leftOver) {
    await waitUntilReady(url, () => isAlive(leftOver), options.logFile);
    return { url, pid: leftOver, wasRunning: true, stop: () => stopPostgres(leftOver) };
  }

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
  return { url, pid, wasRunning: false, stop: () => stopPostgres(pid) };
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
  // A crash in the middle of initdb leaves a folder without PG_VERSION's siblings; start over in a fresh one.
  await rm(options.dataFolder, { recursive: true, force: true });
  await mkdir(options.dataFolder, { recursive: true, mode: 0o700 });
  const passwordFile = join(dirname(options.dataFolder), `.initdb-${process.pid}`);
  await writeFile(passwordFile, options.password, { mode: 0o600 });
  try {
    if (user) {
      await chown(options.dataFolder, user.uid, user.gid);
      await chown(passwordFile, user.uid, user.gid);
    }
    await run(
      join(bin, 'initdb'),
      ['-D', options.dataFolder, '-U', SUPERUSER, `--pwfile=${passwordFile}`, '--auth=scram-sha-256'].concat(
        ['--encoding=UTF8', '--locale=C', '--no-instructions'],
        options.settings?.fsync === 'off' ? ['--no-sync'] : [],
      ),
      { cwd: '/', ...identity(user) },
    );
  } catch (cause) {
    await rm(options.dataFolder, { recursive: true, force: true });
    const output = (cause as { stderr?: string }).stderr?.trim() ?? String(cause);
    throw new Error(`PostgreSQL could not make its data folder ${options.dataFolder}: ${output}`, { cause });
  } finally {
    await rm(passwordFile, { force: true });
  }
}

/** Pid of the server that runs on the data folder; null when none does. */
async function runningPid(dataFolder: string): Promise<number | null> {
  const text = await readFile(join(dataFolder, 'postmaster.pid'), 'utf8').catch(() => '');
  const pid = Number(text.split('\n')[0]);
  if (!Number.isInteger(pid) || pid <= 1 || !isAlive(pid)) return null;
  // A pid that the system gave to something else meanwhile is no server: PostgreSQL itself removes the stale file.
  const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
  return command.includes('postgres') ? pid : null;
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
