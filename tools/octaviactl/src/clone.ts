import { realpathSync } from 'node:fs';
import { resolve } from 'node:path';

/** The clone that this command line belongs to; links such as node_modules/.bin/octaviactl are followed. */
export function cloneFolder(): string {
  const entry = realpathSync(process.argv[1] ?? '.'); // <clone>/tools/octaviactl/bin/octaviactl.mjs
  return resolve(entry, '../../../..');
}
