/**
 * How long a client is without an answer when the amphora of a pair that has the VIP fails, for each kind of failure; the client asks every
 * 10 ms. Run it alone, as root: `node --conditions=@octavia/source apps/amphora-agent/bench/takeover.ts [times] [kind …]`
 */
import { createPair, type Pair } from '../test/pair/pair.ts';
import { BLOWS, type Takeover, takeover } from '../test/pair/takeover.ts';
import { VipWatch } from '../test/pair/vip-watch.ts';
import { whyNoPair } from '../test/pair/wires.ts';

/** Of each kind. Source: the goal is stated for 50. */
const DEFAULT_TIMES = 50;

function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN;
}

/** Longest time that both had the VIP, and could be seen with it. */
async function mendAndWatch(pair: Pair, kind: string, done: Takeover): Promise<number> {
  const places = pair.amphorae.map(({ namespace }) => namespace);
  const holders = pair.amphorae.filter((amphora) => amphora.hasVip()).map(({ namespace }) => namespace);
  const watch = await VipWatch.start(pair.wires.vip, places, holders);
  done.holder.setAttached(true);
  const mendedAt = Date.now();
  await pair.mend(done.holder);
  watch.stop();
  // A silent cut hides its holder until it is over. A dead namespace keeps the VIP until somebody fences it: nothing of VRRP's.
  if (kind === 'silent link') return watch.longestOverlap(mendedAt);
  return kind === 'processes' || kind === 'power' ? 0 : done.overlapMs;
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
        overlapMs = Math.max(overlapMs, await mendAndWatch(pair, kind, done));
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
