import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { storm } from './storm/storm.ts';

/** STORM_SECONDS: how long; STORM_SEED: which one. */
const seconds = Number(process.env.STORM_SECONDS ?? 15);
const seed = Number(process.env.STORM_SEED ?? Date.now() % 100_000);
const CLIENTS = 16;
const RESULTS = join(import.meta.dirname, '../test-results/storm');
/** Start, settling and stop; each five times what it takes. */
const AROUND_MS = 240_000;

it(`loses and leaks nothing in a storm of ${CLIENTS} clients, ${seconds} s long, in which everything is killed`, {
  timeout: seconds * 1_000 + AROUND_MS,
}, async () => {
  process.stdout.write(`STORM_SEED=${seed}\n`);
  const result = await storm({ seed, seconds, clients: CLIENTS });
  mkdirSync(RESULTS, { recursive: true });
  writeFileSync(join(RESULTS, 'storm.json'), JSON.stringify({ seed, seconds, clients: CLIENTS, ...result }, null, 1));
  process.stdout.write(`${JSON.stringify(result, null, 1)}\n`);
  expect(result.faults).toEqual([]);
});
