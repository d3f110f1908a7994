import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { backUp, restore } from '@octavia/db';
import { type Requester, sweepOrphans, updateLoadBalancer } from '@octavia/flows';
import { v7 as uuidv7 } from 'uuid';
import { databaseUrlFile, reachDatabase } from './database.ts';
import { type Home, homeAt, homePath, openHome, readIfThere } from './home.ts';
import { type Installation, knownInstallation, openSecrets } from './installation.ts';
import { claimHome, leaveHome, runningLauncher } from './run-file.ts';

/** Copies of replaced databases that are kept. */
const KEPT_COPIES = 3;

/** Writes the whole database into a file: of the running controller, or of one that is stopped. */
export async function backUpController(file: string, say: (line: string) => void): Promise<void> {
  const home = homeAt(homePath(), false);
  const isRunning = (await runningLauncher(home.path)) !== null;
  const url = isRunning ? (await readIfThere(databaseUrlFile(home)))?.trim() : undefined;
  const write = async (from: string): Promise<void> => {
    const { rows, tables } = await backUp(from, file);
    say(
      `${file}: ${rows} rows of ${tables} tables. Keep it with pki/, secrets/ and installation.json of ${home.path}.`,
    );
  };
  if (url) await write(url);
  else await withDatabase(say, (_, __, from) => write(from));
}

/** Replaces the database by a backup of this installation. @throws Error when it runs, or when the file does not fit */
export async function restoreController(file: string, say: (line: string) => void): Promise<void> {
  await withDatabase(say, async (home, installation, url) => {
    const copy = await keepCopy(home, url, say);
    const header = await restore(url, file, {
      installationId: installation.id,
      sweep: sweepOrphans(requester('octavia'), { graceMs: 0, isUrgent: true }),
      push: ({ id, projectId }) => updateLoadBalancer(id, requester(projectId)),
    });
    say(`the database is that of ${header.createdAt}${copy === null ? '' : `; what it replaced is kept in ${copy}`}`);
    say(
      'npm start brings everything to what it says: unknown amphorae are deleted, missing ones replaced, all configured anew',
    );
  });
}

/** With the database of a controller that does not run, which is ours meanwhile. */
async function withDatabase(
  say: (line: string) => void,
  work: (home: Home, installation: Installation, url: string) => Promise<void>,
): Promise<void> {
  const path = homePath();
  const installation = await knownInstallation(homeAt(path, false));
  if (!installation) {
    throw new Error(
      `There is no installation in ${path}. Name its folder with OCTAVIA_HOME, or put installation.json, pki/ and secrets/ of the ` +
        'installation that was backed up there.',
    );
  }
  const home = await openHome(path);
  await claimHome(home.path);
  try {
    const database = await reachDatabase(home, installation, await openSecrets(home), process.env, say);
    try {
      await work(home, installation, database.url);
    } finally {
      await database.stop();
    }
  } finally {
    await leaveHome(home.path);
  }
}

/** A restore of the wrong file can be taken back. Null: there was nothing to keep. */
async function keepCopy(home: Home, url: string, say: (line: string) => void): Promise<string | null> {
  const folder = join(home.path, 'backups');
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const copy = join(folder, `before-restore-${new Date().toISOString().replace(/[:.]/g, '-')}`);
  try {
    await backUp(url, copy);
  } catch (error) {
    say(`no copy of the database as it is: ${(error as Error).message}`);
    return null;
  }
  const copies = (await readdir(folder)).filter((name) => name.startsWith('before-restore-')).sort();
  for (const name of copies.slice(0, -KEPT_COPIES)) await rm(join(folder, name));
  return copy;
}

function requester(projectId: string): Requester {
  return { projectId, userId: 'restore', requestId: uuidv7() };
}
