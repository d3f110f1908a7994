import { type Command, Option } from 'commander';
import { group, leaf, run } from '../grammar.ts';
import { duration } from '../options.ts';

const load = () => import('../resources/system.ts');

const loadBackup = () => import('../resources/backup.ts');

/** `status`, `capability list`, `backup` and `restore`. */
export function addSystemCommands(program: Command): void {
  leaf(program, 'status', 'Show how the controller is: services, database, queue, spares', [
    'status',
    'status --wait --timeout 60s',
    'status -f json',
  ])
    .option('--wait', 'wait until all is ready, and show what is missing')
    .addOption(
      new Option('--timeout <time>', 'how long to wait, such as 90s')
        .argParser(duration)
        .default(duration('60s'), '60s'),
    )
    .action(run(async () => (await load()).status));

  const capability = group(program, 'capability', 'What load balancers of this deployment can do');
  leaf(capability, 'list', 'List protocols, algorithms, checks and session persistence', ['capability list']).action(
    run(async () => (await load()).capabilities),
  );

  leaf(program, 'backup', 'Write the whole database into a file, also while the services run', [
    'backup /mnt/octavia.backup',
  ])
    .argument('<file>')
    .action(run(async () => (await loadBackup()).backup));
  leaf(program, 'restore', 'Replace the database by a backup; the services must be stopped', [
    'restore /mnt/octavia.backup',
  ])
    .argument('<file>')
    .action(run(async () => (await loadBackup()).restore));
}
