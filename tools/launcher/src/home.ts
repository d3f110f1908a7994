import { chmod, chown, mkdir, readFile, rename, rm, stat, statfs, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Root of the clone that this launcher belongs to. */
export const CLONE = resolve(dirname(fileURLToPath(import.meta.url)), '../../..');

/** What a new installation needs on its disk, and what one that is there needs at least to start, in MiB. Measured: 60 and 8. */
const NEW_MIB = 120;
const LEAST_MIB = 16;
const MIB = 1024 * 1024;

/** Everything that an installation keeps on this machine. */
export interface Home {
  /** Absolute path of the data folder. */
  readonly path: string;
  readonly isNew: boolean;
  readonly postgres: string;
  readonly logs: string;
  readonly pki: string;
  readonly secrets: string;
  readonly amphorae: string;
}

/** The data folder: `OCTAVIA_HOME`, else /var/lib/octavia-controller for root, else `.octavia` in the clone. */
export function homePath(env: NodeJS.ProcessEnv = process.env): string {
  if (env.OCTAVIA_HOME) return resolve(env.OCTAVIA_HOME);
  return process.getuid?.() === 0 ? '/var/lib/octavia-controller' : join(CLONE, '.octavia');
}

export function homeAt(path: string, isNew: boolean): Home {
  return {
    path,
    isNew,
    postgres: join(path, 'postgres'),
    logs: join(path, 'logs'),
    pki: join(path, 'pki'),
    secrets: join(path, 'secrets'),
    amphorae: join(path, 'amphorae'),
  };
}

/**
 * Makes the data folder, or checks the one that is there.
 * @throws Error that says what to do: not writable, another user's, disk full
 */
export async function openHome(path: string): Promise<Home> {
  const before = await stat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw useless(path, error);
  });
  if (before && before.uid !== process.getuid?.()) {
    throw new Error(
      `The data folder ${path} belongs to another user (uid ${before.uid}). Start as that user, or name another folder with OCTAVIA_HOME.`,
    );
  }
  const home = homeAt(path, (await stat(join(path, 'installation.json')).catch(() => null)) === null);
  try {
    // Root's server runs PostgreSQL as another user, which must be able to enter but not to read.
    const mode = process.getuid?.() === 0 ? 0o711 : 0o700;
    await mkdir(path, { recursive: true }).catch((error: NodeJS.ErrnoException) => {
      // Node says so on a read-only disk, too; a plain mkdir says what it is.
      if (error.code === 'ENOENT') return mkdir(path);
      throw error;
    });
    await chmod(path, mode);
    for (const folder of [home.postgres, home.amphorae]) await mkdir(folder, { recursive: true, mode });
    for (const folder of [home.logs, home.pki, home.secrets]) await mkdir(folder, { recursive: true, mode: 0o711 });
    await writeFile(join(path, '.writable'), 'This folder belongs to the Octavia controller.\n');
  } catch (cause) {
    throw useless(path, cause as NodeJS.ErrnoException);
  }
  await checkSpace(home);
  return home;
}

/** A disk that gets full while things start leaves them half done: say it before. */
async function checkSpace({ path, isNew }: Home): Promise<void> {
  const { bavail, bsize } = await statfs(path);
  const [freeMib, neededMib] = [Math.floor((bavail * bsize) / MIB), isNew ? NEW_MIB : LEAST_MIB];
  if (freeMib >= neededMib) return;
  throw new Error(
    `The disk of the data folder ${path} is full: ${freeMib} MiB are free, ${neededMib} are needed to start. ` +
      'Free some space, or name another folder with OCTAVIA_HOME. Nothing was started.',
  );
}

function useless(path: string, cause: NodeJS.ErrnoException): Error {
  const { code, message } = cause;
  const why = code === 'ENOSPC' ? 'its disk is full: free some space' : `it cannot be written (${message})`;
  return new Error(`The data folder ${path} is of no use: ${why}, or name another folder with OCTAVIA_HOME.`, {
    cause,
  });
}

/** Whom a file shall belong to. */
export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** Writes a file such that a crash leaves the old one or the new one, never half of it. */
export async function writeWhole(path: string, content: string, mode = 0o600, owner?: Owner): Promise<void> {
  const part = `${path}.part`;
  await rm(part, { force: true });
  await writeFile(part, content, { mode, flag: 'wx', flush: true });
  await chmod(part, mode);
  if (owner) await chown(part, owner.uid, owner.gid);
  await rename(part, path);
}

export async function readIfThere(path: string): Promise<string | null> {
  return readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    // ENOTDIR: a file stands where its folder should be.
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return null;
    throw error;
  });
}
