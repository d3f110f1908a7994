import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { codeOf } from './errors.ts';

/**
 * Replaces a file in one step: a reader, and an agent killed half-way, see the old content or the new one. When the disk is
 * full the old file stays. Not synced to disk: after a power cut this amphora's processes are gone and it is built anew.
 */
export function replaceFile(path: string, content: string | Buffer, mode = 0o600): void {
  const temporary = `${path}.tmp`;
  try {
    writeFileSync(temporary, content, { mode });
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

/** The content, or null when there is no such file. */
export function readIfThere(path: string): Buffer | null {
  try {
    return readFileSync(path);
  } catch (error) {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return null;
    throw error;
  }
}

/** The JSON value in a file, or null when there is no such file or it is no JSON (a foreign hand was in it). */
export function readJson(path: string): unknown {
  const content = readIfThere(path);
  if (!content) return null;
  try {
    return JSON.parse(content.toString('utf8'));
  } catch {
    return null;
  }
}
