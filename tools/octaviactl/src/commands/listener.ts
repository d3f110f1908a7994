import type { Command } from 'commander';
import { group, leaf, run } from '../grammar.ts';
import {
  choice,
  integer,
  keyValues,
  withAdminState,
  withTag,
  withTagChange,
  withTagRemoval,
  withWait,
} from '../options.ts';
import { LISTENER_PROTOCOLS } from '../words.ts';
import { withFilters } from './filters.ts';

const load = () => import('../resources/listener.ts');

/** `loadbalancer listener create|list|show|set|unset|delete|stats show`. */
export function addListenerCommands(parent: Command): void {
  const listener = group(parent, 'listener', 'Listeners: a protocol and port of a VIP');

  const create = leaf(listener, 'create', 'Create a listener', [
    'loadbalancer listener create --name http --protocol HTTP --protocol-port 8080 web',
    'loadbalancer listener create --protocol HTTP --protocol-port 80 --insert-headers X-Forwarded-For=true --wait web',
  ])
    .argument('<loadbalancer>', 'load balancer that it belongs to (name or id)')
    .requiredOption('--protocol <protocol>', LISTENER_PROTOCOLS.join(', '), choice(LISTENER_PROTOCOLS))
    .requiredOption('--protocol-port <port>', 'port of the VIP, 1 to 65535', integer);
  withWait(withTag(withAdminState(withSettings(create)))).action(run(async () => (await load()).create));

  withFilters(
    leaf(listener, 'list', 'List listeners, oldest first', [
      'loadbalancer listener list',
      'loadbalancer listener list --loadbalancer web -f json',
    ]),
  )
    .option('--name <name>', 'only those of this name')
    .option('--loadbalancer <loadbalancer>', 'only those of this load balancer (name or id)')
    .action(run(async () => (await load()).list));

  leaf(listener, 'show', 'Show a listener', ['loadbalancer listener show http'])
    .argument('<listener>', 'name or id')
    .action(run(async () => (await load()).show));

  const set = leaf(listener, 'set', 'Change a listener', [
    'loadbalancer listener set --connection-limit 1000 http',
    'loadbalancer listener set --default-pool p --wait http',
  ]).argument('<listener>', 'name or id');
  withWait(withTagChange(withAdminState(withSettings(set)))).action(run(async () => (await load()).set));

  const unset = leaf(listener, 'unset', 'Clear settings of a listener', [
    'loadbalancer listener unset --default-pool http',
  ])
    .argument('<listener>', 'name or id')
    .option('--name', 'clear the name')
    .option('--description', 'clear the description')
    .option('--connection-limit', 'back to the default')
    .option('--default-pool', 'leave it without a pool')
    .option('--insert-headers', 'insert no headers')
    .option('--timeout-client-data', 'back to the default')
    .option('--timeout-member-connect', 'back to the default')
    .option('--timeout-member-data', 'back to the default')
    .option('--timeout-tcp-inspect', 'back to the default');
  withWait(withTagRemoval(unset)).action(run(async () => (await load()).unset));

  withWait(leaf(listener, 'delete', 'Delete a listener; its pool stays', ['loadbalancer listener delete --wait http']))
    .argument('<listener>', 'name or id')
    .action(run(async () => (await load()).remove));

  const stats = group(listener, 'stats', 'The traffic of a listener');
  leaf(stats, 'show', 'Show what a listener has carried', ['loadbalancer listener stats show http'])
    .argument('<listener>', 'name or id')
    .action(run(async () => (await import('../resources/statistics.ts')).showListener));
}

function withSettings(command: Command): Command {
  return command
    .option('--name <name>', 'its name')
    .option('--description <description>', 'its description')
    .option('--connection-limit <limit>', "connections at once, -1 for the deployment's limit", integer)
    .option('--default-pool <pool>', 'pool that gets what arrives (name or id)')
    .option('--insert-headers <header=value,...>', 'headers to add to requests', keyValues)
    .option('--timeout-client-data <ms>', 'inactivity of the client, milliseconds (default: 50000)', integer)
    .option('--timeout-member-connect <ms>', 'connecting to a member, milliseconds (default: 5000)', integer)
    .option('--timeout-member-data <ms>', 'inactivity of a member, milliseconds (default: 50000)', integer)
    .option('--timeout-tcp-inspect <ms>', 'wait for content to inspect, milliseconds (default: 0)', integer);
}
