import { Argument, type Command, Option } from 'commander';
import { group, leaf, run } from '../grammar.ts';
import { duration } from '../options.ts';
import { LOG_LEVELS, SERVICES } from '../words.ts';

const load = () => import('../resources/system.ts');

const loadBackup = () => import('../resources/backup.ts');

/** `status`, `capability list`, `breaker list`, `log level`, `backup` and `restore`. */
export function addSystemCommands(program: Command): void {
  leaf(program, 'status', 'Show how the controller is: services, certificates, queue, spares, last failures', [
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
  leaf(capability, 'list', 'List protocols, algorithms, checks, session persistence and topologies', [
    'capability list',
  ]).action(run(async () => (await load()).capabilities));

  const breaker = group(
    program,
    'breaker',
    'Endpoints outside that the controller keeps away from (for administrators)',
  );
  leaf(breaker, 'list', 'List circuit breakers that are not closed: endpoint, since when, and the last error', [
    'breaker list',
    'breaker list --all -f json',
  ])
    .option('--all', 'closed ones too')
    .action(run(async () => (await load()).breakers));

  const log = group(program, 'log', 'What the services write to their logs (for administrators)');
  leaf(log, 'level', 'Show or change the least severe level that a service logs, while it runs', [
    'log level worker debug --for 10m',
    'log level worker default',
    'log level worker',
  ])
    .addArgument(new Argument('<service>', SERVICES.join(', ')).choices(SERVICES))
    .addArgument(
      new Argument('[level]', 'default goes back to what it started with').choices([...LOG_LEVELS, 'default']),
    )
    .option('--for <time>', 'go back after this long, such as 10m; at most a day', duration)
    .action(run(async () => (await load()).logLevel));

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
