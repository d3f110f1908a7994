import { execFile, spawn } from 'node:child_process';
import { closeSync, existsSync, ftruncateSync, openSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { messageOf } from '../errors.ts';
import { readIfThere } from '../files.ts';
import { isAlive, type ProcessIdentity, readProcess, signalProcess } from '../processes.ts';

/** A keepalived that has no VRRP process by then has failed. It needs some 30 ms; a machine under load more. */
const START_TIMEOUT_MS = 10_000;
/** From its VRRP process to the end of its start, for a keepalived that does not say when it is done. */
const QUIET_START_MS = 1_000;
/** It gives up the VIP at once, and then waits a second so that its last advert is heard. */
const STOP_TIMEOUT_MS = 5_000;
const POLL_MS = 5;
/** Round robin among those of the same priority, 1 to 99: above the system's own threads of lower ones, below its watchdogs. */
const REAL_TIME_PRIORITY = 50;
/** Microseconds of computing without a pause after which the kernel kills it. An advert takes some ten. */
const REAL_TIME_LIMIT_US = 1_000_000;
const MAX_OUTPUT_BYTES = 1024 * 1024;

/** What keepalived reads and writes; all of it is the amphora's own, so that several run on one machine. */
export interface KeepalivedPaths {
  readonly configFile: string;
  readonly pidFile: string;
  readonly vrrpPidFile: string;
  readonly checkersPidFile: string;
  readonly outputFile: string;
}

/** @param folder of keepalived, with Octavia's names in it */
export function keepalivedPaths(folder: string): KeepalivedPaths {
  return {
    configFile: join(folder, 'octavia-keepalived.conf'),
    pidFile: join(folder, 'octavia-keepalived.pid'),
    vrrpPidFile: join(folder, 'octavia-keepalived.vrrp.pid'),
    checkersPidFile: join(folder, 'octavia-keepalived.checkers.pid'),
    outputFile: join(folder, 'keepalived.log'),
  };
}

/** The two processes of a keepalived that does VRRP only: the parent, and the one that has the VIP. */
export interface KeepalivedProcesses {
  readonly parent: ProcessIdentity;
  readonly vrrp: ProcessIdentity | null;
}

/** keepalived did not come to run; the message is its own last words. */
export class KeepalivedFailed extends Error {}

/**
 * Starts keepalived in the foreground, in the process group of the agent, and returns its parent process; `died` is called when that
 * ends. Its parent process starts no other child when the one that does VRRP dies (`-R`): whoever supervises it decides.
 * @throws KeepalivedFailed when it cannot be spawned
 */
export async function spawnKeepalived(
  command: string,
  paths: KeepalivedPaths,
  died: (how: string) => void,
): Promise<ProcessIdentity> {
  // What an earlier one left would be taken for the files of this one.
  for (const file of [paths.pidFile, paths.vrrpPidFile]) rmSync(file, { force: true });
  const output = openSync(paths.outputFile, 'a', 0o600);
  try {
    if (statSync(paths.outputFile).size > MAX_OUTPUT_BYTES) ftruncateSync(output, 0);
    const { configFile, pidFile, vrrpPidFile, checkersPidFile } = paths;
    const files = ['-f', configFile, '-p', pidFile, '-r', vrrpPidFile, '-c', checkersPidFile];
    const child = spawn(command, ['-n', '-l', '-G', '-P', '-R', ...files], {
      stdio: ['ignore', output, output],
      env: {},
    });
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', (error) => reject(new KeepalivedFailed(`${command}: ${messageOf(error)}`)));
    });
    child.once('exit', (code, signal) => died(signal ? `signal ${signal}` : `exit code ${code}`));
    const facts = child.pid === undefined ? null : readProcess(child.pid);
    if (!facts) throw new KeepalivedFailed(`keepalived ended at once: ${lastWords(paths, 0)}`);
    return { pid: facts.pid, startTime: facts.startTime };
  } finally {
    closeSync(output);
  }
}

/** Where keepalived's output ends now; what it writes later is about what happens next. */
export function outputSize({ outputFile }: KeepalivedPaths): number {
  return existsSync(outputFile) ? statSync(outputFile).size : 0;
}

/** Waits until a just spawned keepalived does VRRP, and returns that process. @throws KeepalivedFailed */
export async function waitUntilVrrp(
  parent: ProcessIdentity,
  paths: KeepalivedPaths,
  outputStart: number,
): Promise<ProcessIdentity> {
  const deadline = performance.now() + START_TIMEOUT_MS;
  let seenAt: number | null = null;
  while (performance.now() < deadline) {
    if (!isAlive(parent)) throw new KeepalivedFailed(`keepalived ended: ${lastWords(paths, outputStart)}`);
    const vrrp = findVrrp(parent, paths);
    if (vrrp) {
      seenAt ??= performance.now();
      const isDone = outputSince(paths, outputStart).includes('Startup complete');
      if (isDone || performance.now() - seenAt > QUIET_START_MS) return vrrp;
    }
    await delay(POLL_MS);
  }
  throw new KeepalivedFailed(`keepalived did not run within ${START_TIMEOUT_MS} ms: ${lastWords(paths, outputStart)}`);
}

/** The process of this keepalived that does VRRP, or null: there is none, or none yet. */
export function findVrrp(parent: ProcessIdentity, { vrrpPidFile }: KeepalivedPaths): ProcessIdentity | null {
  const pid = Number(readIfThere(vrrpPidFile)?.toString('utf8'));
  const facts = pid > 0 ? readProcess(pid) : null;
  return facts?.parent === parent.pid ? { pid: facts.pid, startTime: facts.startTime } : null;
}

/** Whether both processes run, and neither was stopped by a signal: a stopped one sends no adverts and keeps the VIP. */
export function doesVrrp({ parent, vrrp }: KeepalivedProcesses): boolean {
  const facts = readProcess(parent.pid);
  const vrrpFacts = vrrp && readProcess(vrrp.pid);
  if (facts?.startTime !== parent.startTime || isStopped(facts.state)) return false;
  return vrrp === null || (vrrpFacts?.startTime === vrrp.startTime && !isStopped(vrrpFacts.state));
}

/**
 * Has a VRRP process run before everything else that wants a processor, its scripts excepted: a master that is kept waiting for a third of a
 * second is taken for dead. Bounded, so that one that runs wild is killed and not the machine. Not in keepalived's own configuration: 2.2
 * sets the limit to nothing when it is reloaded. Returns what stands in the way, such as a control group without a share of real time.
 */
export async function preferVrrp({ pid }: ProcessIdentity): Promise<string | null> {
  const limited = await run('prlimit', ['--pid', String(pid), `--rttime=${REAL_TIME_LIMIT_US}`]);
  return limited ?? (await run('chrt', ['--reset-on-fork', '--rr', '--pid', String(REAL_TIME_PRIORITY), String(pid)]));
}

function run(command: string, args: readonly string[]): Promise<string | null> {
  return new Promise((resolve) => {
    execFile(command, [...args], { timeout: 5_000, killSignal: 'SIGKILL' }, (error, _stdout, stderr) =>
      resolve(error && (stderr.trim() || messageOf(error))),
    );
  });
}

/** Ends keepalived: it gives up the VIP first. Returns false when it had to be killed, and the VIP is left behind. */
export async function stopKeepalived({ parent, vrrp }: KeepalivedProcesses): Promise<boolean> {
  signalProcess(parent, 'SIGTERM');
  return await waitUntilGone(vrrp ? [parent, vrrp] : [parent]);
}

/** Waits for processes that end, and kills those that do not. Returns whether all ended by themselves. */
export async function waitUntilGone(all: readonly ProcessIdentity[]): Promise<boolean> {
  const deadline = performance.now() + STOP_TIMEOUT_MS;
  let isClean = true;
  while (all.some(isAlive)) {
    const lateMs = performance.now() - deadline;
    const pids = all.map(({ pid }) => pid).join(', ');
    if (lateMs > STOP_TIMEOUT_MS) throw new KeepalivedFailed(`keepalived (${pids}) did not end, not even by SIGKILL`);
    if (lateMs > 0) isClean = !killAll(all) && isClean;
    await delay(POLL_MS);
  }
  return isClean;
}

/** Kills processes at once. Returns whether there were any. */
export function killAll(all: readonly ProcessIdentity[]): boolean {
  return all.map((identity) => signalProcess(identity, 'SIGKILL')).some(Boolean);
}

function isStopped(state: string): boolean {
  return state === 'T' || state === 't';
}

function outputSince({ outputFile }: KeepalivedPaths, start: number): string {
  try {
    return readFileSync(outputFile).subarray(start).toString('utf8');
  } catch {
    return '';
  }
}

/** What keepalived wrote since `start`, at most the last 4 KiB. */
function lastWords(paths: KeepalivedPaths, start: number): string {
  return outputSince(paths, start).trim().slice(-4096) || 'it said nothing';
}
