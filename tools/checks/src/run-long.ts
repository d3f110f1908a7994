import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { ROOT } from './projects.ts';

/**
 * Runs what takes too long for `npm test`, and writes what it found into docs/reliability.md, between the markers. Each suite leaves
 * its part of the page, in Markdown, in `test-results/long/<name>.md` of its project. `-- NAME…` runs those alone; the parts of the
 * others stay.
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
process.exitCode = runAll(SUITES.filter(({ name }) => wanted.length === 0 || wanted.includes(name)));

function runAll(suites: readonly LongSuite[]): number {
  if (spawnSync('npm', ['run', '--silent', 'build'], { cwd: ROOT, env, stdio: 'inherit' }).status !== 0) return 1;
  const parts = partsOf(readFileSync(PAGE, 'utf8'));
  let failed = 0;
  for (const suite of suites) {
    const part = run(suite);
    if (part === null) failed++;
    else parts.set(suite.title, part);
  }
  const order = SUITES.flatMap(({ title }) => (parts.has(title) ? [`### ${title}\n\n${parts.get(title)}`] : []));
  const page = readFileSync(PAGE, 'utf8');
  const [before = '', rest = ''] = page.split(BEGIN);
  writeFileSync(PAGE, `${before}${BEGIN}\n${order.join('\n\n')}\n${END}${rest.split(END)[1] ?? '\n'}`);
  process.stdout.write(`\n${suites.length - failed} passed, ${failed} failed; the page is docs/reliability.md.\n`);
  return failed > 0 ? 1 : 0;
}

/** Its part of the page; null: it failed, and the page keeps what the last good run said. */
function run({ name, project, command, env: own }: LongSuite): string | null {
  const [program = '', ...args] = command;
  const file = join(ROOT, project, 'test-results/long', `${name}.md`);
  mkdirSync(dirname(file), { recursive: true });
  rmSync(file, { force: true });
  process.stdout.write(`\n> ${name}\n`);
  const startedAt = performance.now();
  const { status } = spawnSync(program, args, { cwd: join(ROOT, project), env: { ...env, ...own }, stdio: 'inherit' });
  if (status !== 0 || !existsSync(file)) return null;
  const minutes = ((performance.now() - startedAt) / 60_000).toFixed(1);
  const today = new Date().toISOString().slice(0, 10);
  const machine = `${cpus().length} cores, ${Math.round(totalmem() / 2 ** 30)} GiB`;
  return `${today}, ${machine}, ${minutes} minutes, \`npm run test:long -- ${name}\`.\n\n${readFileSync(file, 'utf8').trim()}`;
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
