/** Measures the controller on this machine. Each benchmark starts an installation of its own, ends by itself and cleans up. */
import { parseArgs } from 'node:util';
import { createCold, createWarm } from './benchmarks/create.ts';
import { failover } from './benchmarks/failover.ts';
import { many } from './benchmarks/many.ts';
import { member } from './benchmarks/member.ts';
import { memory } from './benchmarks/memory.ts';
import { noop } from './benchmarks/noop.ts';
import { start } from './benchmarks/start.ts';
import { stopAll } from './installation.ts';
import { type Benchmark, isMet } from './measure.ts';
import { machine, markdown, type Result, readable } from './report.ts';

const ALL: readonly Benchmark[] = [noop, many, memory, start, createWarm, createCold, member, failover];

/** No benchmark takes longer, in milliseconds. */
const LIMIT_MS = 600_000;

const USAGE = `npm run bench -- [--json | --markdown] [NAME...]

${ALL.map(({ name, what }) => `  ${name.padEnd(12)} ${what}`).join('\n')}
`;

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    options: {
      json: { type: 'boolean', default: false },
      markdown: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
    allowPositionals: true,
  });
  const unknown = positionals.filter((wanted) => !ALL.some(({ name }) => name === wanted));
  if (values.help || unknown.length > 0) {
    process.stdout.write(unknown.length > 0 ? `There is no benchmark ${unknown.join(', ')}.\n${USAGE}` : USAGE);
    return unknown.length > 0 ? 64 : 0;
  }
  const chosen = ALL.filter(({ name }) => positionals.length === 0 || positionals.includes(name));
  const say = (text: string): void => void (values.json || process.stdout.write(`${text}\n`));
  say(machine());
  const results: Result[] = [];
  for (const benchmark of chosen) {
    const result = await runOne(benchmark);
    results.push(result);
    say(values.markdown ? markdown(result) : `\n${readable(result)}`);
  }
  if (values.json) process.stdout.write(`${JSON.stringify({ machine: machine(), results }, null, 2)}\n`);
  return results.some(({ figures }) => figures.some((figure) => isMet(figure) === false)) ? 1 : 0;
}

async function runOne(benchmark: Benchmark): Promise<Result> {
  const startedAt = performance.now();
  const signal = AbortSignal.any([AbortSignal.timeout(LIMIT_MS), broken.signal]);
  const figures = await benchmark.run(signal);
  signal.throwIfAborted();
  const { name, what } = benchmark;
  return { benchmark: { name, what }, figures, seconds: (performance.now() - startedAt) / 1000 };
}

const broken = new AbortController();
for (const name of ['SIGINT', 'SIGTERM'] as const)
  process.once(name, () => broken.abort(new Error(`Ended by ${name}.`)));

main()
  .catch((error: unknown) => {
    process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
    return 1;
  })
  .then(async (code) => {
    await stopAll();
    process.exit(code);
  });
