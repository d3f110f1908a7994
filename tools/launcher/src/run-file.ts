import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { readIfThere, writeWhole } from './home.ts';
import { identify, lives, type ProcessId } from './processes.ts';

/** Where the launcher of a data folder tells who it is. */
const fileOf = (home: string): string => join(home, 'launcher.json');

/** The launcher that runs on this data folder; null: none. */
export async function runningLauncher(home: string): Promise<ProcessId | null> {
  const text = await readIfThere(fileOf(home));
  if (text === null) return null;
  const id: ProcessId = JSON.parse(text);
  return (await lives(id)) ? id : null;
}

/** @throws Error when another launcher runs on the data folder */
export async function claimHome(home: string): Promise<void> {
  const other = await runningLauncher(home);
  if (other && other.pid !== process.pid) {
    throw new Error(
      `The controller already runs on ${home} (pid ${other.pid}). Stop it with npm stop, or name another folder with OCTAVIA_HOME.`,
    );
  }
  await writeWhole(fileOf(home), `${JSON.stringify(await identify(process.pid))}\n`);
}

export async function leaveHome(home: string): Promise<void> {
  await rm(fileOf(home), { force: true });
}
