import { randomUUID } from 'node:crypto';
import { link, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';

/**
 * Writes a whole file or none, readable by us alone; makes its folders (0700). A reader sees the old content or the new.
 * A draft that a crash leaves begins with a dot.
 */
export async function writeWhole(path: string, content: string | Uint8Array): Promise<void> {
  const draft = await writeDraft(path, content);
  await rename(draft, path);
}

/**
 * As writeWhole, for several files: all are drafted, then `mayAppear` is asked, and unless it throws they appear one after the other.
 * A crash between two leaves some old and some new, each whole.
 */
export async function writeAllWhole(
  files: readonly (readonly [path: string, content: string | Uint8Array])[],
  mayAppear: () => Promise<void>,
): Promise<void> {
  const drafts: string[] = [];
  try {
    for (const [path, content] of files) drafts.push(await writeDraft(path, content));
    await mayAppear();
    for (const [index, [path]] of files.entries()) await rename(drafts[index] ?? '', path);
  } finally {
    await Promise.all(drafts.map((draft) => rm(draft, { force: true })));
  }
}

/** As writeWhole, but only if there is none yet. Returns whether it was made: of several callers, one hears true. */
export async function writeOnce(path: string, content: string): Promise<boolean> {
  const draft = await writeDraft(path, content);
  try {
    await link(draft, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  } finally {
    await rm(draft, { force: true });
  }
}

/** Content of a text file, or null: there is none. */
export async function readIfThere(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

async function writeDraft(path: string, content: string | Uint8Array): Promise<string> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const draft = `${dirname(path)}/.${randomUUID()}.draft`;
  await writeFile(draft, content, { mode: 0o600 });
  return draft;
}
