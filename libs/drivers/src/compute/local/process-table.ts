import { readdirSync, readFileSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';

/** A process, told apart from a later one with the same pid by its start time. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Clock ticks since the machine booted; text, as in field 22 of /proc/<pid>/stat. */
  readonly startTime: string;
}

export interface ProcessStat extends ProcessIdentity {
  readonly ppid: number;
  readonly pgrp: number;
  readonly session: number;
  /** Such as R, S, D, T (stopped), Z (zombie). Source: proc(5). */
  readonly state: string;
}

/** Id of this run of the machine: pids and start times of another run mean nothing. */
export function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}

/** The process as it is now, or null: there is none. A zombie holds nothing any more and counts as none. */
export function readProcess(pid: number): ProcessStat | null {
  const text = read(`/proc/${pid}/stat`);
  // The second field is the command in parentheses and may hold anything, parentheses and spaces too.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const [state = '', ppid, pgrp, session] = fields;
  const startTime = fields[19];
  if (!startTime || state === 'Z' || state === 'X') return null;
  return { pid, state, ppid: Number(ppid), pgrp: Number(pgrp), session: Number(session), startTime };
}

/** Whether exactly this process still runs. */
export function runs({ pid, startTime }: ProcessIdentity): boolean {
  return readProcess(pid)?.startTime === startTime;
}

/** Arguments, joined by spaces; empty for kernel threads and where it may not be read. */
export function commandLine(pid: number): string {
  return read(`/proc/${pid}/cmdline`).replaceAll('\0', ' ');
}

/** The value with which the process was started, itself or by inheritance. Null: none, or it may not be read. */
export function environmentOf(pid: number, name: string): string | null {
  const entries = read(`/proc/${pid}/environ`).split('\0');
  return entries.find((entry) => entry.startsWith(`${name}=`))?.slice(name.length + 1) ?? null;
}

/** Whether the process was started with this variable, itself or by inheritance. False where it may not be read. */
export function hasEnvironment(pid: number, name: string, value: string): boolean {
  return read(`/proc/${pid}/environ`).split('\0').includes(`${name}=${value}`);
}

/** Processes between two pauses, so that reading a long table blocks the event loop for about a millisecond at a time. */
const PROCESSES_PER_TURN = 40;

/** Visits every process. */
export async function eachProcess(visit: (process: ProcessStat) => void): Promise<void> {
  let visited = 0;
  for (const name of readdirSync('/proc')) {
    const pid = Number(name);
    if (!Number.isInteger(pid)) continue;
    const found = readProcess(pid);
    if (found) visit(found);
    if (++visited % PROCESSES_PER_TURN === 0) await nextTurn();
  }
}

/**
 * Sends a signal to exactly this process. The identity is read again just before, so that a pid that was used again is left alone.
 * @returns whether the process was there @throws when it may not be signalled
 */
export function signalProcess(identity: ProcessIdentity, signal: NodeJS.Signals): boolean {
  if (!runs(identity)) return false;
  try {
    process.kill(identity.pid, signal);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw error;
  }
}

/** This process and all that it descends from. */
export function ownAncestors(): ReadonlySet<number> {
  const found = new Set<number>();
  for (let pid = process.pid; pid > 0 && !found.has(pid); pid = readProcess(pid)?.ppid ?? 0) found.add(pid);
  return found;
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return ''; // It ended, or is not ours to read.
  }
}
