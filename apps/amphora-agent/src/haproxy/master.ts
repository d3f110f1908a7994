import { spawn } from 'node:child_process';
import { closeSync, existsSync, ftruncateSync, openSync, readFileSync, statSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { messageOf } from '../errors.ts';
import { findProcesses, isAlive, type ProcessIdentity, readProcess, signalProcess } from '../processes.ts';
import { askHaproxy } from './cli-socket.ts';
import { infoField, readShowProc, type ShowProc } from './show-proc.ts';

/** A start or reload that is not live by then has failed. 100 backends with 10 servers need 0.2 to 0.5 s. */
const LIVE_TIMEOUT_MS = 30_000;
/** Old workers stop accepting at the signal of the new one; this long is waited to see it. */
const OLD_WORKER_TIMEOUT_MS = 1_000;
const STOP_TIMEOUT_MS = 5_000;
const POLL_MS = 5;
const ASK_TIMEOUT_MS = 500;
const MAX_OUTPUT_BYTES = 1024 * 1024;

/** Where one HAProxy is. */
export interface MasterPaths {
  /** In the order of their `-f`. */
  readonly configFiles: readonly string[];
  readonly masterSocket: string;
  readonly statsSocket: string;
  /** Its standard output and error. A file, not a pipe: HAProxy may outlive the agent. */
  readonly outputFile: string;
}

/** Enters control groups, each a file that takes pids, and becomes the command: pid and start time stay. */
const ENTER_GROUPS = `
n=$1
shift
while [ "$n" -gt 0 ]; do { echo "$$" >"$1"; } 2>/dev/null; n=$((n - 1)); shift; done
exec "$@"
`;

/** HAProxy did not come to serve what it was told to; the message is its own last words. */
export class NotLive extends Error {}

/**
 * Starts a master in the foreground, in the process group of the agent, and returns at once; `died` is called when it ends.
 * `-db` wins over `daemon` in the text: a process that detaches would escape the supervision and the fence.
 * @param groups files of control groups that take its pid
 * @throws NotLive when it cannot be spawned
 */
export async function spawnMaster(
  command: string,
  peer: string,
  paths: MasterPaths,
  groups: readonly string[],
  died: (how: string) => void,
): Promise<ProcessIdentity> {
  const output = openSync(paths.outputFile, 'a', 0o600);
  try {
    if (statSync(paths.outputFile).size > MAX_OUTPUT_BYTES) ftruncateSync(output, 0);
    const files = paths.configFiles.flatMap((file) => ['-f', file]);
    const haproxy = [command, '-W', '-db', ...files, '-L', peer, '-S', `${paths.masterSocket},mode,600`];
    const entering = ['/bin/sh', '-c', ENTER_GROUPS, 'haproxy', String(groups.length), ...groups];
    const [program = '', ...args] = groups.length === 0 ? haproxy : [...entering, ...haproxy];
    const child = spawn(program, args, {
      stdio: ['ignore', output, output],
      env: {},
    });
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', (error) => reject(new NotLive(`${command}: ${messageOf(error)}`)));
    });
    child.once('exit', (code, signal) => died(signal ? `signal ${signal}` : `exit code ${code}`));
    const facts = child.pid === undefined ? null : readProcess(child.pid);
    if (!facts) throw new NotLive(`HAProxy ended at once: ${lastWords(paths, 0)}`);
    return { pid: facts.pid, startTime: facts.startTime };
  } finally {
    closeSync(output);
  }
}

/** Where HAProxy's output ends now; what it writes later is about what happens next. */
export function outputSize({ outputFile }: MasterPaths): number {
  return existsSync(outputFile) ? statSync(outputFile).size : 0;
}

/** Waits until a just spawned master's worker serves. Returns the workers' pids. @throws NotLive */
export async function waitUntilStarted(master: ProcessIdentity, paths: MasterPaths, outputStart: number) {
  return waitUntilLive(master, paths, outputStart, () => ({ isNew: () => true, hasFailed: () => false }));
}

/**
 * Makes HAProxy read its files again, without losing a connection, and returns the pids of the workers when they serve and the old
 * ones accept no more. @throws NotLive when the old ones serve on
 */
export async function reloadMaster(master: ProcessIdentity, paths: MasterPaths): Promise<readonly number[]> {
  const outputStart = outputSize(paths);
  const before = await showProc(paths);
  if (!before) throw new NotLive(`HAProxy does not answer on ${paths.masterSocket}`);
  if (!signalProcess(master, 'SIGUSR2')) throw new NotLive('HAProxy is gone');
  const workers = await waitUntilLive(master, paths, outputStart, () => ({
    isNew: (pid) => !before.workers.includes(pid),
    hasFailed: (now) => now.reloads > before.reloads && now.failed > 0,
  }));
  await Promise.all(before.workers.map((pid) => waitUntilStopping(paths, pid)));
  return workers;
}

async function waitUntilLive(
  master: ProcessIdentity,
  paths: MasterPaths,
  outputStart: number,
  judge: () => { isNew: (pid: number) => boolean; hasFailed: (now: ShowProc) => boolean },
): Promise<readonly number[]> {
  const { isNew, hasFailed } = judge();
  const deadline = performance.now() + LIVE_TIMEOUT_MS;
  while (performance.now() < deadline) {
    if (!isAlive(master)) throw new NotLive(`HAProxy ended: ${lastWords(paths, outputStart)}`);
    const now = await showProc(paths);
    if (now && hasFailed(now)) throw new NotLive(lastWords(paths, outputStart));
    if (now && now.workers.length > 0 && now.workers.every(isNew)) {
      const pid = Number(await workerPid(paths));
      // The statistics socket is bound by the new worker, which answers only from the loop that also accepts clients.
      if (now.workers.includes(pid)) return now.workers;
    }
    await delay(POLL_MS);
  }
  throw new NotLive(`HAProxy did not serve within ${LIVE_TIMEOUT_MS} ms: ${lastWords(paths, outputStart)}`);
}

async function waitUntilStopping(paths: MasterPaths, pid: number): Promise<void> {
  const deadline = performance.now() + OLD_WORKER_TIMEOUT_MS;
  while (performance.now() < deadline && readProcess(pid) !== null) {
    const info = await askHaproxy(paths.masterSocket, `@!${pid} show info`, ASK_TIMEOUT_MS).catch(() => '');
    if (infoField(info, 'Stopping') !== '0') return;
    await delay(POLL_MS);
  }
}

async function showProc(paths: MasterPaths): Promise<ShowProc | null> {
  // While the master replaces itself the socket may refuse or reset: that is no answer yet, not a failure.
  const answer = await askHaproxy(paths.masterSocket, 'show proc', ASK_TIMEOUT_MS).catch(() => '');
  return readShowProc(answer);
}

async function workerPid(paths: MasterPaths): Promise<string | null> {
  const info = await askHaproxy(paths.statsSocket, 'show info', ASK_TIMEOUT_MS).catch(() => '');
  return infoField(info, 'Pid');
}

/**
 * Ends a master and its workers at once, by force if it must be; returns when they are gone.
 * @param workers pids and start times of workers, in case that the master is gone already
 */
export async function stopMaster(master: ProcessIdentity, workers: readonly ProcessIdentity[]): Promise<void> {
  signalProcess(master, 'SIGTERM');
  const deadline = performance.now() + STOP_TIMEOUT_MS;
  const all = [master, ...workers];
  while (all.some(isAlive)) {
    const lateMs = performance.now() - deadline;
    if (lateMs > STOP_TIMEOUT_MS) throw new Error(`HAProxy (pid ${master.pid}) did not end, not even by SIGKILL`);
    if (lateMs > 0) for (const identity of all) signalProcess(identity, 'SIGKILL');
    await delay(POLL_MS);
  }
}

/** Looks without a find before nothing is left: one look may miss a child that is born behind it. */
const CLEAN_LOOKS = 2;

/**
 * Kills every master and worker that was started with a configuration file, and returns once none is left: workers of earlier
 * configurations that still end their connections, and those whose master is gone. Returns whether there was any.
 */
export async function endAllOf(configFile: string): Promise<boolean> {
  const deadline = performance.now() + STOP_TIMEOUT_MS;
  let wasAny = false;
  for (let cleanLooks = 0; cleanLooks < CLEAN_LOOKS; ) {
    const found = findProcesses((words) => words.includes('-W') && words[words.indexOf(configFile) - 1] === '-f');
    cleanLooks = found.length === 0 ? cleanLooks + 1 : 0;
    wasAny ||= found.length > 0;
    if (found.length > 0 && performance.now() > deadline)
      throw new Error(`HAProxy (pids ${found.map(({ pid }) => pid).join(', ')}) did not end, not even by SIGKILL`);
    for (const identity of found) signalProcess(identity, 'SIGKILL');
    if (cleanLooks < CLEAN_LOOKS) await delay(POLL_MS);
  }
  return wasAny;
}

/** What HAProxy wrote since `start`, at most the last 4 KiB. */
function lastWords({ outputFile }: MasterPaths, start: number): string {
  try {
    const text = readFileSync(outputFile).subarray(start).toString('utf8').trim();
    return text.slice(-4096) || 'it said nothing';
  } catch {
    return 'it said nothing';
  }
}
