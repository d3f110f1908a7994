/** Measures the controller on this machine. Each benchmark starts an installation of its own, ends by itself and cleans up. */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { createCold, createWarm } from './benchmarks/create.ts';
import { failover } from './benchmarks/failover.ts';
import { kills } from './benchmarks/kills.ts';
import { many } from './benchmarks/many.ts';
import { member } from './benchmarks/member.ts';
import { memory } from './benchmarks/memory.ts';
import { noop } from './benchmarks/noop.ts';
import { start } from './benchmarks/start.ts';
import { twoMacs } from './benchmarks/two-macs.ts';
import { stopAll } from './installation.ts';
import { type Benchmark, isMet } from './measure.ts';
import { machine, markdown, type Result, readable, TABLE_HEAD } from './report.ts';

const ALL: readonly Benchmark[] = [noop, many, memory, start, createWarm, createCold, member, failover, kills, twoMacs];

/** No benchmark takes longer, in milliseconds. */
const LIMIT_MS = 600_000;
/** The longest takes 11 minutes, and longer on a busy machine. */
const LONG_LIMIT_MS = 2_400_000;

const USAGE = `npm run bench -- [--json | --markdown] [--times N] [--output FILE] [NAME...]

${ALL.map(({ name, what, isLong }) => `  ${name.padEnd(12)} ${what}${isLong ? '; by name only' : ''}`).join('\n')}

--times   how often each thing is done, of those that run by name only
--output  a file for the rows that --markdown prints
`;

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    options: {
      json: { type: 'boolean', default: false },
      markdown: { type: 'boolean', default: false },
      times: { type: 'string' },
      output: { type: 'string' },
      help: { type: 'boolean', short: 'h', default: false },
    },
    allowPositionals: true,
  });
  const unknown = positionals.filter((wanted) => !ALL.some(({ name }) => name === wanted));
  if (values.help || unknown.length > 0) {
    process.stdout.write(unknown.length > 0 ? `There is no benchmark ${unknown.join(', ')}.\n${USAGE}` : USAGE);
    return unknown.length > 0 ? 64 : 0;
  }
  if (values.times !== undefined && !/^[1-9]\d{0,3}$/.test(values.times)) {
    process.stdout.write(`--times is a number from 1 to 9999.\n${USAGE}`);
    return 64;
  }
  const times = values.times === undefined ? undefined : Number(values.times);
  const chosen = ALL.filter(({ name, isLong }) => (positionals.length === 0 ? !isLong : positionals.includes(name)));
  const say = (text: string): void => void (values.json || process.stdout.write(`${text}\n`));
  say(machine());
  const results: Result[] = [];
  for (const benchmark of chosen) {
    const result = await runOne(benchmark, times);
    results.push(result);
    say(values.markdown ? markdown(result) : `\n${readable(result)}`);
  }
  if (values.output !== undefined) writeFileSync(values.output, `${TABLE_HEAD}\n${results.map(markdown).join('\n')}\n`);
  if (values.json) process.stdout.write(`${JSON.stringify({ machine: machine(), results }, null, 2)}\n`);
  return results.some(({ figures }) => figures.some((figure) => isMet(figure) === false)) ? 1 : 0;
}

async function runOne(benchmark: Benchmark, times?: number): Promise<Result> {
  const startedAt = performance.now();
  const limitMs = benchmark.isLong ? LONG_LIMIT_MS : LIMIT_MS;
  const signal = AbortSignal.any([AbortSignal.timeout(limitMs), broken.signal]);
  const figures = await benchmark.run(signal, times);
  signal.throwIfAborted();
  const { name, what } = benchmark;
  return { benchmark: { name, what }, figures, seconds: (performance.now() - startedAt) / 1000 };
}

const broken = new AbortController();
// A second one, of somebody who is impatient, must not end us before everything is stopped.
for (const name of ['SIGINT', 'SIGTERM'] as const) process.on(name, () => broken.abort(new Error(`Ended by ${name}.`)));

main()
  .catch((error: unknown) => {
    process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
    return 1;
  })
  .then(async (code) => {
    await stopAll();
    process.exit(code);
  });
