import type { Command } from 'commander';
import { group, leaf, run } from '../grammar.ts';
import { duration, withWait } from '../options.ts';

const load = () => import('../resources/orphan.ts');

/** `orphans list|clean`. */
export function addOrphanCommands(program: Command): void {
  const orphans = group(program, 'orphans', 'What database and outside world do not agree about (for administrators)');

  leaf(orphans, 'list', 'List what exists outside and belongs to nobody, and what is recorded and does not exist', [
    'orphans list',
    'orphans list --older-than 10m -f json',
  ])
    .option('--older-than <time>', 'only what is older, such as 10m', duration)
    .action(run(async () => (await load()).list));

  withWait(
    leaf(orphans, 'clean', 'Isolate and remove what belongs to nobody', [
      'orphans clean --dry-run',
      'orphans clean --older-than 10m --wait',
    ]),
  )
    .option('--older-than <time>', 'only what is older, such as 10m', duration)
    .option('--dry-run', 'change nothing, and list what would be removed')
    .action(run(async () => (await load()).clean));
}
