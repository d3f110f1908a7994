import { readFileSync } from 'node:fs';

/** The version of this code. All our services are released together, so it is that of each of them. */
export const VERSION: string = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')).version;

/** When this process started. */
export const STARTED_AT: Date = new Date(Date.now() - process.uptime() * 1000);
