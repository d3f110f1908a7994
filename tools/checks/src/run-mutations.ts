import { spawn } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { MUTATIONS, type Mutation, outdatedMutations, type Suite } from './mutations.ts';
import { ROOT } from './projects.ts';

/**
 * Breaks the controller on purpose, one thing at a time, in a copy of the sources, and runs the suites that should notice. Fails
 * unless every suite is green as things are, and each mutation turns one red. `-- NAME…` runs those whose names have it.
 */
/** For docs/reliability.md. */
const PART = join(ROOT, 'tools/checks/test-results/long/mutations.md');
const SUITE_LIMIT_MS = 300_000;
const NOT_COPIED = new Set(['node_modules', '.git', '.nx', '.octavia', 'test-results']);

interface Verdict {
  readonly suite: Suite;
  /** Null: it did not run to its end, which proves nothing. */
  readonly failed: number | null;
  readonly ms: number;
}

const wanted = process.argv.slice(2);
const chosen = MUTATIONS.filter(({ name }) => wanted.length === 0 || wanted.some((text) => name.includes(text)));
const copy = mkdtempSync(join(tmpdir(), 'mutations-'));
const isOver = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => isOver.abort());
try {
  process.exitCode = await main();
} finally {
  rmSync(copy, { recursive: true, force: true });
}

async function main(): Promise<number> {
  const outdated = outdatedMutations(ROOT);
  if (outdated.length > 0) throw new Error(outdated.join('\n'));
  copySources();
  const rows: string[][] = [];
  let isGood = true;
  const suites = new Map(chosen.flatMap(({ suites }) => suites.map((suite) => [JSON.stringify(suite), suite])));
  for (const suite of suites.values()) {
    const verdict = await run(suite);
    isGood &&= verdict.failed === 0;
    rows.push([
      'nothing',
      nameOf(suite),
      verdict.failed === 0 ? 'green' : 'RED, without any mutation',
      seconds(verdict),
    ]);
  }
  for (const mutation of chosen) {
    const verdicts = await mutated(mutation);
    const isSeen = verdicts.some(({ failed }) => failed !== null && failed > 0);
    isGood &&= isSeen;
    for (const verdict of verdicts) {
      const { failed } = verdict;
      const tells = failed === null ? 'did not end' : failed > 0 ? `red (${failed} failed)` : 'GREEN';
      rows.push([mutation.name, nameOf(verdict.suite), isSeen ? tells : `${tells}: NOT SEEN`, seconds(verdict)]);
    }
  }
  const head = [
    ['taken out', 'suite', 'it turned', 'seconds'],
    ['---', '---', '---', '---'],
  ];
  const table = [...head, ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n');
  process.stdout.write(`\n${table}\n`);
  mkdirSync(dirname(PART), { recursive: true });
  writeFileSync(PART, table);
  return isGood && !isOver.signal.aborted ? 0 : 1;
}

/** Runs suites until one is red. */
async function mutated({ file, changes, suites }: Mutation): Promise<Verdict[]> {
  const path = join(copy, file);
  const original = readFileSync(path, 'utf8');
  let text = original;
  for (const { from, to } of changes) text = text.replaceAll(from, () => to);
  writeFileSync(path, text);
  try {
    const verdicts: Verdict[] = [];
    for (const suite of suites) {
      verdicts.push(await run(suite));
      if ((verdicts.at(-1)?.failed ?? 0) > 0) break;
    }
    return verdicts;
  } finally {
    writeFileSync(path, original);
  }
}

/** The sources and what is built, with links to the libraries of others and our own packages in the copy. */
function copySources(): void {
  cpSync(ROOT, copy, { recursive: true, filter: (path) => !NOT_COPIED.has(path.split('/').at(-1) ?? '') });
  for (const folder of [
    '',
    ...['apps', 'libs', 'tools'].flatMap((kind) => readdirSync(join(ROOT, kind)).map((name) => join(kind, name))),
  ]) {
    const from = join(ROOT, folder, 'node_modules');
    if (existsSync(from)) linkAll(from, join(copy, folder, 'node_modules'));
  }
}

function linkAll(from: string, to: string): void {
  mkdirSync(to, { recursive: true });
  for (const entry of readdirSync(from)) {
    if (entry === '@octavia') linkOurs(to);
    else symlinkSync(join(from, entry), join(to, entry));
  }
}

function linkOurs(to: string): void {
  mkdirSync(join(to, '@octavia'));
  for (const kind of ['apps', 'libs', 'tools']) {
    for (const name of readdirSync(join(copy, kind))) {
      const folder = join(copy, kind, name);
      if (!existsSync(join(folder, 'package.json'))) continue;
      const { name: packageName } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
      symlinkSync(relative(join(to, '@octavia'), folder), join(to, packageName));
    }
  }
}

async function run(suite: Suite): Promise<Verdict> {
  isOver.signal.throwIfAborted();
  const startedAt = performance.now();
  const folder = join(copy, suite.project);
  const results = join(folder, 'test-results/vitest.json');
  rmSync(results, { force: true });
  process.stdout.write(`  ${nameOf(suite)} …\n`);
  const only = suite.tests ? ['--testNamePattern', suite.tests] : [];
  const child = spawn('vitest', ['run', '--config', '../../vitest.config.ts', suite.file, ...only], {
    cwd: folder,
    env: { ...process.env, ...suite.env, PATH: `${join(ROOT, 'node_modules/.bin')}:${process.env.PATH}` },
    stdio: 'ignore',
    timeout: SUITE_LIMIT_MS,
    signal: isOver.signal,
  });
  await new Promise<void>((done) => {
    child.once('exit', () => done());
    child.once('error', () => done());
  });
  return { suite, failed: failedIn(results), ms: performance.now() - startedAt };
}

function failedIn(results: string): number | null {
  if (!existsSync(results)) return null;
  const { success, numFailedTests } = JSON.parse(readFileSync(results, 'utf8'));
  // What fails before the first test, such as the matrix when it looks for its points, is no failed test.
  return success ? 0 : Math.max(1, numFailedTests);
}

function nameOf({ project, file, env, tests = env?.MATRIX_LIKE }: Suite): string {
  return `${project}/${file}${tests ? ` (${tests.replaceAll('|', ' or ')})` : ''}`;
}

function seconds({ ms }: Verdict): string {
  return (ms / 1_000).toFixed(0);
}
