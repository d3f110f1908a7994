import type { Command } from 'commander';
import { group, leaf, run } from '../grammar.ts';
import { choice, integer, withWait } from '../options.ts';
import { AMPHORA_STATUSES } from '../words.ts';

const load = () => import('../resources/amphora.ts');

/** `loadbalancer amphora list|show|failover|fence|configure|stats show`. */
export function addAmphoraCommands(parent: Command): void {
  const amphora = group(parent, 'amphora', 'Amphorae: the appliances that carry the traffic (for administrators)');

  leaf(amphora, 'list', 'List amphorae, oldest first', [
    'loadbalancer amphora list',
    'loadbalancer amphora list --loadbalancer web -f json',
  ])
    .option('--loadbalancer <loadbalancer>', 'only those with a seat of this load balancer (name or id)')
    .option('--status <status>', 'only those in this status', choice(AMPHORA_STATUSES))
    .option('--limit <count>', 'read at most this many (default: 10000)', (text) => Math.max(1, integer(text)))
    .action(run(async () => (await load()).list));

  leaf(amphora, 'show', 'Show an amphora', ['loadbalancer amphora show 0197a3c2-7a5e-7c7b-9d51-7f6d8c0a1b2c'])
    .argument('<amphora>', 'id')
    .action(run(async () => (await load()).show));

  withWait(
    leaf(
      amphora,
      'failover',
      'Replace an amphora, for each load balancer on it; a spare is deleted, and another is built',
      ['loadbalancer amphora failover --wait 0197a3c2-7a5e-7c7b-9d51-7f6d8c0a1b2c'],
    ),
  )
    .argument('<amphora>', 'id')
    .action(run(async () => (await load()).failover));

  withWait(
    leaf(amphora, 'fence', 'Confirm that an amphora is isolated, where the controller cannot make sure of it', [
      'loadbalancer amphora fence 0197a3c2-7a5e-7c7b-9d51-7f6d8c0a1b2c',
      'loadbalancer amphora fence --confirm 0197a3c2-7a5e-7c7b-9d51-7f6d8c0a1b2c',
    ]),
  )
    .option('--confirm', 'a person has made sure of it; without this option: what that means and what to check')
    .argument('<amphora>', 'id')
    .action(run(async () => (await load()).fence));

  withWait(
    leaf(amphora, 'configure', 'Give the agent of an amphora its configuration anew; traffic is not touched', [
      'loadbalancer amphora configure --wait 0197a3c2-7a5e-7c7b-9d51-7f6d8c0a1b2c',
    ]),
  )
    .argument('<amphora>', 'id')
    .action(run(async () => (await load()).configure));

  const stats = group(amphora, 'stats', 'The traffic of an amphora');
  leaf(stats, 'show', 'Show what an amphora has carried, listener by listener', [
    'loadbalancer amphora stats show 0197a3c2-7a5e-7c7b-9d51-7f6d8c0a1b2c',
  ])
    .argument('<amphora>', 'id')
    .action(run(async () => (await import('../resources/statistics.ts')).showAmphora));
}
