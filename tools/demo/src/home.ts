import { join, resolve } from 'node:path';

/** Root of the clone that this demo belongs to. */
export const CLONE = resolve(import.meta.dirname, '../../..');

/** The data folder that `npm start` uses here: `OCTAVIA_HOME`, else /var/lib/octavia-controller for root, else `.octavia`. */
export function homePath(env: NodeJS.ProcessEnv = process.env): string {
  if (env.OCTAVIA_HOME) return resolve(env.OCTAVIA_HOME);
  return process.getuid?.() === 0 ? '/var/lib/octavia-controller' : join(CLONE, '.octavia');
}
