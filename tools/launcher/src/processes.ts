import { readdir, readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

/** A process by what never changes while it lives; a pid alone may be given to another. */
export interface ProcessId {
  readonly pid: number;
  /** Clock ticks since boot: field 22 of /proc/<pid>/stat. */
  readonly startTime: string;
}

/** The process that has this pid now; null: none. */
export async function identify(pid: number): Promise<ProcessId | null> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => null);
  if (stat === null) return null;
  // The name, in brackets, may hold spaces and brackets itself.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const startTime = fields[19];
  // A zombie has ended; only its parent has not looked yet.
  return startTime === undefined || fields[0] === 'Z' ? null : { pid, startTime };
}

export async function lives(process: ProcessId): Promise<boolean> {
  return (await identify(process.pid))?.startTime === process.startTime;
}

/** Processes of this machine, but not we ourselves, that have an argument below `folder` on their command line. */
export async function processesOf(folder: string): Promise<(ProcessId & { readonly command: string })[]> {
  const found: (ProcessId & { command: string })[] = [];
  for (const entry of await readdir('/proc')) {
    const pid = Number(entry);
    if (!Number.isInteger(pid) || pid === process.pid || pid === process.ppid) continue;
    const argv = (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).split('\0');
    if (!argv.some((word) => word === folder || word.startsWith(`${folder}/`))) continue;
    const id = await identify(pid);
    if (id) found.push({ ...id, command: argv.join(' ').trim() });
  }
  return found;
}

/** Asks processes to end, and ends those that do not within `limitMs`. Returns when all are gone. */
export async function endAll(processes: readonly ProcessId[], limitMs: number): Promise<void> {
  for (const process of processes) {
    await signal(process, 'SIGTERM');
    // Whoever is suspended hears no signal before he goes on.
    await signal(process, 'SIGCONT');
  }
  if (await waitUntilGone(processes, limitMs)) return;
  for (const process of processes) await signal(process, 'SIGKILL');
  await waitUntilGone(processes, limitMs);
}

export async function waitUntilGone(processes: readonly ProcessId[], limitMs: number): Promise<boolean> {
  const giveUpAt = performance.now() + limitMs;
  for (;;) {
    const alive = await Promise.all(processes.map(lives));
    if (!alive.includes(true)) return true;
    if (performance.now() > giveUpAt) return false;
    await sleep(20);
  }
}

async function signal(target: ProcessId, name: NodeJS.Signals): Promise<void> {
  if (!(await lives(target))) return;
  try {
    process.kill(target.pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
