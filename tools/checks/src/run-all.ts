import { execFileSync, spawnSync } from 'node:child_process';
import { globSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { failuresOf } from './failures.ts';
import { ROOT } from './projects.ts';

/**
 * Runs every suite and check, and ends with the line `N passed, N failed` over all of them. A check that is no test suite (lint,
 * generated code, types) counts as one. Everything runs, also after a failure, so that one run tells all.
 */
const env: NodeJS.ProcessEnv = {
  ...process.env,
  PATH: `${join(ROOT, 'node_modules/.bin')}:${process.env.PATH}`,
  NX_DAEMON: 'false',
  NX_TUI: 'false',
};

interface Check {
  readonly name: string;
  readonly command: string;
}

const CHECKS: readonly Check[] = [
  { name: 'build', command: 'npm run --silent build' },
  { name: 'lint', command: 'npm run --silent lint' },
  { name: 'contract', command: 'nx run-many -t lint breaking -p @octavia/proto --output-style=stream' },
  { name: 'generated files', command: 'nx run-many -t freshness --output-style=stream' },
  { name: 'prometheus, for its tests', command: 'node tools/deploy/src/fetch-prometheus.ts' },
  { name: 'types of tests', command: 'nx run-many -t typecheck --parallel=2 --output-style=stream' },
];

let passed = 0;
let failed = 0;
const tellings: string[] = [];
const failures: string[] = [];

installPackages();
for (const check of CHECKS) count(check.name, run(check.command));
for (const file of results()) rmSync(file);
const suites = run('nx run-many -t test --parallel=2 --output-style=stream --skip-nx-cache');
countSuites(suites);

if (failures.length > 0) process.stdout.write(`\n${failures.join('\n')}\n`);
process.stdout.write(`\n${tellings.join('\n')}\n${passed} passed, ${failed} failed\n`);
process.exitCode = failed > 0 ? 1 : 0;

function run(command: string): boolean {
  process.stdout.write(`\n> ${command}\n`);
  return (
    spawnSync('/bin/sh', ['-c', command], { cwd: ROOT, env, stdio: ['ignore', 'inherit', 'inherit'] }).status === 0
  );
}

function count(name: string, isGood: boolean): void {
  if (isGood) passed++;
  else failed++;
  tellings.push(`${isGood ? 'ok    ' : 'FAILED'}  ${name}`);
}

function results(): string[] {
  return globSync('{apps,libs,tools}/*/test-results/*.json', { cwd: ROOT }).map((file) => join(ROOT, file));
}

function countSuites(allEnded: boolean): void {
  const files = results();
  for (const file of files) {
    const result = JSON.parse(readFileSync(file, 'utf8'));
    passed += result.numPassedTests;
    failed += result.numFailedTests;
    failures.push(...failuresOf(result, ROOT));
    tellings.push(
      `${result.success ? 'ok    ' : 'FAILED'}  ${file.slice(ROOT.length + 1).split('/test-results')[0]}: ${result.numPassedTests} passed, ${result.numFailedTests} failed`,
    );
  }
  // A suite that crashed leaves no result, so the exit code counts too.
  if (!allEnded) count('every suite ran to its end', false);
}

/** HAProxy, and what tests use beside it. As a plain user without them: the one command to run. */
function installPackages(): void {
  // Network namespaces are made by root alone; as another user their tests are left out.
  const forRoot = { iproute2: '/sbin/ip', keepalived: '/usr/sbin/keepalived' };
  const isRoot = process.getuid?.() === 0;
  const programs = { haproxy: '/usr/sbin/haproxy', setpriv: '/usr/bin/setpriv', ...(isRoot ? forRoot : {}) };
  const isThere = (program: string): boolean => spawnSync('test', ['-x', program]).status === 0;
  const missing = Object.entries(programs).filter(([, program]) => !isThere(program));
  if (missing.length === 0) return;
  const command = `apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends ${missing
    .map(([name]) => (name === 'setpriv' ? 'util-linux' : name))
    .join(' ')}`;
  if (!isRoot) {
    process.stderr.write(
      `Missing: ${missing.map(([name]) => name).join(', ')}. Run this once:\n  sudo sh -c '${command}'\n`,
    );
    process.exit(69);
  }
  execFileSync('/bin/sh', ['-c', command], { stdio: ['ignore', 'ignore', 'inherit'] });
}
