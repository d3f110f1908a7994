import type { Command } from 'commander';
import { group, leaf, run } from '../grammar.ts';
import { choice, integer, withAdminState, withTag, withTagChange, withTagRemoval, withWait } from '../options.ts';
import { HEALTH_MONITOR_TYPES, HTTP_METHODS } from '../words.ts';
import { withFilters } from './filters.ts';

const load = () => import('../resources/health-monitor.ts');

/** `loadbalancer healthmonitor create|list|show|set|unset|delete`. */
export function addHealthMonitorCommands(parent: Command): void {
  const monitor = group(parent, 'healthmonitor', 'Health monitors: how the members of a pool are checked');

  const create = leaf(monitor, 'create', 'Create a health monitor', [
    'loadbalancer healthmonitor create --type HTTP --delay 2 --timeout 1 --max-retries 2 p',
    'loadbalancer healthmonitor create --type HTTP --delay 5 --timeout 3 --max-retries 2 --url-path /health --wait p',
  ])
    .argument('<pool>', 'pool whose members it checks (name or id)')
    .requiredOption('--type <type>', HEALTH_MONITOR_TYPES.join(', '), choice(HEALTH_MONITOR_TYPES))
    .requiredOption('--delay <seconds>', 'time between checks, seconds', integer)
    .requiredOption('--timeout <seconds>', 'time until a check has failed, seconds', integer)
    .requiredOption('--max-retries <count>', 'successes until a member is ONLINE, 1 to 10', integer);
  withWait(withTag(withAdminState(withSettings(create)))).action(run(async () => (await load()).create));

  withFilters(
    leaf(monitor, 'list', 'List health monitors, oldest first', [
      'loadbalancer healthmonitor list',
      'loadbalancer healthmonitor list --pool p',
    ]),
  )
    .option('--name <name>', 'only those of this name')
    .option('--pool <pool>', 'only the one of this pool (name or id)')
    .action(run(async () => (await load()).list));

  leaf(monitor, 'show', 'Show a health monitor', ['loadbalancer healthmonitor show check'])
    .argument('<healthmonitor>', 'name or id')
    .action(run(async () => (await load()).show));

  const set = leaf(monitor, 'set', 'Change a health monitor', [
    'loadbalancer healthmonitor set --delay 10 --wait check',
  ])
    .argument('<healthmonitor>', 'name or id')
    .option('--delay <seconds>', 'time between checks, seconds', integer)
    .option('--timeout <seconds>', 'time until a check has failed, seconds', integer)
    .option('--max-retries <count>', 'successes until a member is ONLINE, 1 to 10', integer);
  withWait(withTagChange(withAdminState(withSettings(set)))).action(run(async () => (await load()).set));

  const unset = leaf(monitor, 'unset', 'Clear settings of a health monitor', [
    'loadbalancer healthmonitor unset --url-path check',
  ])
    .argument('<healthmonitor>', 'name or id')
    .option('--name', 'clear the name')
    .option('--max-retries-down', 'back to the default')
    .option('--http-method', 'back to the default')
    .option('--url-path', 'back to the default')
    .option('--expected-codes', 'back to the default')
    .option('--http-version', 'back to the default')
    .option('--domain-name', 'ask for no host name');
  withWait(withTagRemoval(unset)).action(run(async () => (await load()).unset));

  withWait(leaf(monitor, 'delete', 'Delete a health monitor', ['loadbalancer healthmonitor delete --wait check']))
    .argument('<healthmonitor>', 'name or id')
    .action(run(async () => (await load()).remove));
}

function withSettings(command: Command): Command {
  return command
    .option('--name <name>', 'its name')
    .option('--max-retries-down <count>', 'failures until a member is ERROR, 1 to 10 (default: 3)', integer)
    .option('--http-method <method>', 'method of the request (default: GET)', choice(HTTP_METHODS))
    .option('--url-path <path>', 'path of the request (default: /)')
    .option('--expected-codes <codes>', 'such as 200, 200,202 or 200-204 (default: 200)')
    .option('--http-version <version>', '1.0 or 1.1', choice(['1.0', '1.1']))
    .option('--domain-name <name>', 'host name to ask for; needs --http-version 1.1');
}
