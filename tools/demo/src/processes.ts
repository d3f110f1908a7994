import { readdirSync, readFileSync } from 'node:fs';
import { Problem } from './problem.ts';

/** Pids of processes, but not ours, that have `folder` or something below it on their command line. */
export function processesOf(folder: string): number[] {
  return readdirSync('/proc').flatMap((entry) => {
    const pid = Number(entry);
    if (!Number.isInteger(pid) || pid === process.pid) return [];
    const words = commandLine(pid).split('\0');
    return words.some((word) => word === folder || word.startsWith(`${folder}/`)) ? [pid] : [];
  });
}

/** Ends them at once and without mercy. @throws Problem when they belong to another user */
export function killHard(pids: readonly number[]): void {
  for (const pid of pids) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'EPERM') {
        throw new Problem(`Process ${pid} of the amphora is another user's. Run the demo as the user who started it.`);
      }
      if (code !== 'ESRCH') throw error;
    }
  }
}

function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return ''; // It has ended.
  }
}
