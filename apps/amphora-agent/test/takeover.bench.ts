/**
 * How long a client is without an answer when the amphora of a pair that has the VIP fails, for each kind of failure; the client asks every
 * 10 ms. Run it alone, as root: `node --conditions=@octavia/source apps/amphora-agent/test/takeover.bench.ts [times] [kind …]`
 */
import { createPair } from './pair/pair.ts';
import { BLOWS, takeover } from './pair/takeover.ts';
import { whyNoPair } from './pair/wires.ts';

/** Of each kind. Source: the goal is stated for 50. */
const DEFAULT_TIMES = 50;

function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN;
}

async function main([times = DEFAULT_TIMES, ...kinds]: readonly (string | number)[]): Promise<void> {
  const why = whyNoPair();
  if (why) throw new Error(`No pair can run: ${why}.`);
  const pair = await createPair();
  try {
    for (const amphora of pair.amphorae) await pair.startVrrp(amphora);
    process.stdout.write('failure      times  gap p50  p90  p99  max (ms)  both had the VIP, max (ms)\n');
    for (const [kind, befall] of Object.entries(BLOWS)) {
      if (kinds.length > 0 && !kinds.includes(kind)) continue;
      const gaps: number[] = [];
      let overlapMs = 0;
      for (let i = 0; i < Number(times); i++) {
        const done = await takeover(pair, befall);
        gaps.push(done.gapMs);

        // A dead namespace keeps the VIP until somebody fences it: no overlap of living ones.
        if (kind !== 'processes' && kind !== 'power') overlapMs = Math.max(overlapMs, done.overlapMs);
        await pair.mend(done.holder);
      }
      gaps.sort((a, b) => a - b);
      const cells = [0.5, 0.9, 0.99, 1].map((share) => String(Math.round(quantile(gaps, share))).padStart(5));
      process.stdout.write(`${kind.padEnd(12)} ${String(gaps.length).padStart(5)}  ${cells.join('')}  ${overlapMs}\n`);
    }
  } finally {
    await pair.close();
  }
}

await main(process.argv.slice(2));
