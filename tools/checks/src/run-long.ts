import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { ROOT } from './projects.ts';

/**
 * Runs what takes too long for `npm test`, and writes what it found into docs/reliability.md, between the markers. Each suite leaves
 * its part of the page, in Markdown, in `test-results/long/<name>.md` of its project, beside a log of what it printed. `-- NAME…` runs
 * those alone; the parts of the others stay, and so does that of one that fails, which the last lines printed say.
 */
interface LongSuite {
  readonly name: string;
  readonly title: string;
  readonly project: string;
  /** In the project's folder. */
  readonly command: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

const vitest = (file: string): string[] => ['vitest', 'run', '--config', '../../vitest.config.ts', file];

const SUITES: readonly LongSuite[] = [
  {
    name: 'matrix-noop',
    title: 'Crash matrix, noop drivers',
    project: 'apps/worker',
    command: vitest('test/matrix/matrix.test.ts'),
    env: { MATRIX: 'full' },
  },
  {
    name: 'matrix-local',
    title: 'Crash matrix, amphorae on this machine',
    project: 'apps/worker',
    command: vitest('test/matrix/local-matrix.test.ts'),
    env: { MATRIX: 'full' },
  },
  {
    name: 'matrix-namespaces',
    title: 'Crash matrix, pairs in namespaces',
    project: 'apps/worker',
    command: vitest('test/matrix/namespaces-matrix.test.ts'),
    env: { MATRIX: 'full' },
  },
  {
    name: 'storm',
    title: 'Random storm',
    project: 'tools/bench',
    command: vitest('test/storm.test.ts'),
    env: { STORM_SECONDS: '180' },
  },
  {
    name: 'failover',
    title: 'Failover under load',
    project: 'tools/bench',
    command: ['node', 'dist/main.js', '--output', 'test-results/long/failover.md', 'kills', 'two-macs'],
  },
  { name: 'mutations', title: 'Broken on purpose', project: 'tools/checks', command: ['node', 'src/run-mutations.ts'] },
];

const PAGE = join(ROOT, 'docs/reliability.md');
const BEGIN = '<!-- last result of npm run test:long -->';
const END = '<!-- end of the last result -->';
const env: NodeJS.ProcessEnv = { ...process.env, PATH: `${join(ROOT, 'node_modules/.bin')}:${process.env.PATH}` };

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !SUITES.some((suite) => suite.name === name));
if (unknown.length > 0) {
  process.stderr.write(`There is no ${unknown.join(', ')}; there are ${SUITES.map(({ name }) => name).join(', ')}.\n`);
  process.exit(64);
}
process.exitCode = await runAll(SUITES.filter(({ name }) => wanted.length === 0 || wanted.includes(name)));

async function runAll(suites: readonly LongSuite[]): Promise<number> {
  if (spawnSync('npm', ['run', '--silent', 'build'], { cwd: ROOT, env, stdio: 'inherit' }).status !== 0) return 1;
  const found = new Map<string, string>();
  const failed: string[] = [];
  for (const suite of suites) {
    const part = await run(suite);
    if (part !== null) found.set(suite.title, part);
    else failed.push(`FAILED: ${suite.name}. The page still has its last good result. Log: ${fileOf(suite, 'log')}\n`);
  }
  // Read now: another run may have written its parts meanwhile.
  const page = readFileSync(PAGE, 'utf8');
  const parts = new Map([...partsOf(page), ...found]);
  const order = SUITES.flatMap(({ title }) => (parts.has(title) ? [`### ${title}\n\n${parts.get(title)}`] : []));
  const [before = '', rest = ''] = page.split(BEGIN);
  writeFileSync(PAGE, `${before}${BEGIN}\n${order.join('\n\n')}\n${END}${rest.split(END)[1] ?? '\n'}`);
  process.stdout.write(
    `\n${suites.length - failed.length} passed, ${failed.length} failed; the page is docs/reliability.md.\n`,
  );
  process.stdout.write(failed.join(''));
  return failed.length > 0 ? 1 : 0;
}

/** Its part of the page; null: it failed. */
async function run(suite: LongSuite): Promise<string | null> {
  const { name, project, command, env: own } = suite;
  const [program = '', ...args] = command;
  const file = fileOf(suite, 'md');
  mkdirSync(dirname(file), { recursive: true });
  rmSync(file, { force: true });
  process.stdout.write(`\n> ${name}\n`);
  const startedAt = performance.now();
  const child = spawn(program, args, {
    cwd: join(ROOT, project),
    env: { ...env, ...own },
    stdio: ['inherit', 'pipe', 'pipe'],
  });
  const log = createWriteStream(fileOf(suite, 'log'));
  for (const [from, to] of [
    [child.stdout, process.stdout],
    [child.stderr, process.stderr],
  ] as const) {
    from.pipe(to, { end: false });
    from.pipe(log, { end: false });
  }
  const [code] = await once(child, 'close');
  log.end();
  if (code !== 0 || !existsSync(file)) return null;
  const minutes = ((performance.now() - startedAt) / 60_000).toFixed(1);
  const today = new Date().toISOString().slice(0, 10);
  const machine = `${cpus().length} cores, ${Math.round(totalmem() / 2 ** 30)} GiB`;
  return `${today}, ${machine}, ${minutes} minutes, \`npm run test:long -- ${name}\`.\n\n${readFileSync(file, 'utf8').trim()}`;
}

function fileOf({ name, project }: LongSuite, kind: 'md' | 'log'): string {
  return join(ROOT, project, `test-results/long/${name}.${kind}`);
}

/** What the page says now, by title. */
function partsOf(page: string): Map<string, string> {
  const generated = page.split(BEGIN)[1]?.split(END)[0] ?? '';
  return new Map(
    generated.split(/^### /m).flatMap((part) => {
      const at = part.indexOf('\n');
      return at < 0 || part.trim() === '' ? [] : [[part.slice(0, at).trim(), part.slice(at).trim()] as const];
    }),
  );
}
