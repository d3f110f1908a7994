import { spawnSync } from 'node:child_process';
import { openSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { readIfThere, writeWhole } from './home.ts';
import { identify, lives, type ProcessId } from './processes.ts';

/** Where the launcher of a data folder tells who it is. */
const fileOf = (home: string): string => join(home, 'launcher.json');

/** Exit code of flock(1) when another process has the lock. */
const HELD = 1;

/** The launcher that runs on this data folder; null: none. */
export async function runningLauncher(home: string): Promise<ProcessId | null> {
  const text = await readIfThere(fileOf(home));
  if (text === null) return null;
  let id: ProcessId;
  try {
    id = JSON.parse(text);
  } catch {
    return null; // Cut short by a full disk: the lock tells.
  }
  return (await lives(id)) ? id : null;
}

/**
 * Takes the data folder for this process, until it ends in whatever way: by a lock of the system, so that of two that start at the
 * same instant one gets it. @throws Error when another launcher has it
 */
export async function claimHome(home: string): Promise<void> {
  const other = await runningLauncher(home);
  const isOther = other !== null && other.pid !== process.pid;
  if (isOther || !lock(join(home, 'launcher.lock'))) {
    const who = isOther ? ` (pid ${other.pid})` : '';
    throw new Error(
      `The controller already runs on ${home}${who}. Stop it with npm stop, or name another folder with OCTAVIA_HOME.`,
    );
  }
  await writeWhole(fileOf(home), `${JSON.stringify(await identify(process.pid))}\n`);
}

export async function leaveHome(home: string): Promise<void> {
  await rm(fileOf(home), { force: true });
}

/**
 * Node cannot lock files; flock(1), of every Linux, locks the open file that it inherits from us, and the lock is ours as long as we
 * have the file open: we never close it. Where there is no flock, `launcher.json` alone has to do.
 */
function lock(file: string): boolean {
  const descriptor = openSync(file, 'a', 0o600);
  const { status } = spawnSync('flock', ['--nonblock', '3'], { stdio: ['ignore', 'ignore', 'ignore', descriptor] });
  return status !== HELD;
}
