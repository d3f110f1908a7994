// First: it silences what is loaded after it.
import './callers-environment.ts';

import { Command } from 'commander';
import { type Options, run } from './run.ts';

await new Command('npm run demo --')
  .description(
    'Shows on this machine what the controller does: balance, survive a dead member, survive a dead amphora.',
  )
  .option('--json', 'print the figures as JSON on standard output, the story on standard error')
  .option('--record', 'put what this run tells into README.md')
  .addHelpText(
    'after',
    `
It starts the system if it is not up, and then stops it at the end. OCTAVIA_HOME names its data folder, as for npm start.
Exit code: 0 all as promised, 1 not, 130 interrupted. It cleans up in any case.

Examples:
  npm run demo
  npm run --silent demo -- --json | jq .failover`,
  )
  .action(async (options: Options) => {
    process.exitCode = await run(options);
  })
  .parseAsync();
