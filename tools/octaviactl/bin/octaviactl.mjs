#!/usr/bin/env node
// Starts the bundled command line; under a Node older than the project's, with the project's own where there is one.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { constants } from 'node:os';
import { fileURLToPath } from 'node:url';

// What Node plans to drop concerns us, not whoever reads our standard error.
process.noDeprecation = true;

const OWN_NODE_FROM = 22;
const bundle = new URL('../dist/octaviactl.mjs', import.meta.url);
const ownNode = fileURLToPath(new URL('../../../node_modules/.bin/node', import.meta.url));
const isOld = Number(process.versions.node.split('.')[0]) < OWN_NODE_FROM;

if (!existsSync(bundle)) {
  process.stderr.write('octaviactl is not built yet. Run npm start (or npm run build) first.\n');
  process.exitCode = 1;
} else if (isOld && !process.env.OCTAVIACTL_REEXECUTED && existsSync(ownNode)) {
  const child = spawn(ownNode, process.argv.slice(1), {
    stdio: 'inherit',
    env: { ...process.env, OCTAVIACTL_REEXECUTED: '1' },
  });
  // A terminal tells both of us, `kill` only this process; being told twice does no harm.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  child.on('error', async () => run());
  child.on('exit', (code, signal) => process.exit(code ?? 128 + (constants.signals[signal] ?? 0)));
} else {
  await run();
}

async function run() {
  const { main } = await import(bundle.href);
  process.exitCode = await main(process.argv.slice(2));
}
