import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from './projects.ts';

/** A file fits in a reader's head. Source: examples of this project, "Words". */
const MAX_LINES = 500;
const SOURCES = '{apps,libs,tools}/**/*.{ts,mts,mjs}';
const NOT_OURS = ['**/node_modules/**', '**/dist/**', '**/generated/**', '**/test-results/**'];
/** SQL lives in libs/db alone. Source: docs/architecture.md, the layers. */
const SQL = /\.query\(/;
const TODO = /\b(TODO|FIXME|XXX|HACK)\b(?!\()/;

/** Returns what breaks the limits of source files, one sentence each. */
export function brokenFiles(root = ROOT): string[] {
  return globSync(SOURCES, { cwd: root, exclude: NOT_OURS }).flatMap((file) => {
    const text = readFileSync(join(root, file), 'utf8');
    const lines = text.split('\n').length;
    const broken: string[] = [];
    if (lines > MAX_LINES) broken.push(`${file} has ${lines} lines; at most ${MAX_LINES}.`);
    if (SQL.test(text) && /^apps\/[^/]+\/src\//.test(file))
      broken.push(`${file} has SQL: it belongs into a repository of libs/db.`);
    if (TODO.test(text) && !file.startsWith('tools/checks/')) broken.push(`${file} has a TODO without an owner.`);
    return broken;
  });
}
