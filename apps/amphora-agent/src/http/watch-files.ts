import { statSync } from 'node:fs';

/**
 * How often the files are looked at, in milliseconds. A look is two calls of the system. No inotify: a plain user has 128 instances of it
 * for all his programs, and each amphora of a host would take one.
 */
const LOOK_EVERY_MS = 500;

/**
 * Calls back when one of the files has become another, as when the compute service wrote new ones. A file that is missing counts as
 * unchanged. Returns how to end it.
 */
export function watchFiles(paths: readonly string[], changed: () => void, everyMs = LOOK_EVERY_MS): () => void {
  let known = paths.map(stampOf);
  const timer = setInterval(() => {
    const now = paths.map((path, index) => stampOf(path) ?? known[index] ?? null);
    if (now.every((stamp, index) => stamp === known[index])) return;
    known = now;
    changed();
  }, everyMs);
  timer.unref();
  return () => clearInterval(timer);
}

function stampOf(path: string): string | null {
  const found = statSync(path, { throwIfNoEntry: false });
  return found ? `${found.ino} ${found.size} ${found.mtimeMs}` : null;
}
