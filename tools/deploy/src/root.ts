import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Root of the clone: the same from `src` and from `dist`. */
export const ROOT = resolve(fileURLToPath(new URL('../../..', import.meta.url)));

/** Folder of what an operator installs beside the code. */
export const DEPLOY = `${ROOT}/deploy`;
