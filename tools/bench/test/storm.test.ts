import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { type StormResult, storm } from './storm/storm.ts';

/** STORM_SECONDS: how long; STORM_SEED: which one. */
const seconds = Number(process.env.STORM_SECONDS ?? 12);
const seed = Number(process.env.STORM_SEED ?? Date.now() % 100_000);
const CLIENTS = 16;
const RESULTS = join(import.meta.dirname, '../test-results');
/** Start, settling and stop; each five times what it takes. */
const AROUND_MS = 240_000;

it(`loses and leaks nothing in a storm of ${CLIENTS} clients, ${seconds} s long, in which everything is killed`, {
  timeout: seconds * 1_000 + AROUND_MS,
}, async () => {
  process.stdout.write(`STORM_SEED=${seed}\n`);
  const result = await storm({ seed, seconds, clients: CLIENTS });
  for (const folder of ['storm', 'long']) mkdirSync(join(RESULTS, folder), { recursive: true });
  writeFileSync(join(RESULTS, 'long/storm.md'), page(result));
  writeFileSync(
    join(RESULTS, 'storm/storm.json'),
    JSON.stringify({ seed, seconds, clients: CLIENTS, ...result }, null, 1),
  );
  process.stdout.write(`${JSON.stringify(result, null, 1)}\n`);
  expect(result.faults).toEqual([]);
});

/** For docs/reliability.md. */
function page({ calls, blows, flows, statuses, settledMs, faults }: StormResult): string {
  const total = (counts: Readonly<Record<string, number>>) =>
    Object.values(counts).reduce((sum, count) => sum + count, 0);
  const list = (counts: Readonly<Record<string, number>>) =>
    Object.entries(counts)
      .map(([what, count]) => `${what} ${count}`)
      .join(' · ');
  return [
    `Seed ${seed}: ${CLIENTS} clients for ${seconds} s, ${total(calls)} calls, ${total(blows)} blows, ${total(flows)} flows; everything`,
    `settled and true ${(settledMs / 1_000).toFixed(1)} s after the last blow; ${faults.length} faults.`,
    '',
    '| what | how often |',
    '| --- | --- |',
    `| calls | ${list(calls)} |`,
    `| blows | ${list(blows)} |`,
    `| flows | ${list(flows)} |`,
    `| load balancers at the end | ${list(statuses)} |`,
  ].join('\n');
}
