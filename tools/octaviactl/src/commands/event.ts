import type { Command } from 'commander';
import { leaf, run } from '../grammar.ts';
import { integer } from '../options.ts';

/** `events`. */
export function addEventCommands(program: Command): void {
  leaf(program, 'events', 'Show what happened, and why: to one load balancer, or to all', [
    'events web',
    'events web --follow',
    'events --limit 200 -f json',
  ])
    .argument('[loadbalancer]', 'name or id; the id of a deleted one works too')
    .option('--follow', 'go on with what happens, until Ctrl-C')
    .option('--limit <count>', 'the newest, at most this many (default: 50)', (text) => Math.max(1, integer(text)))
    .action(run(async () => (await import('../resources/event.ts')).events));
}
