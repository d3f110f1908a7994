import { type Command, Option } from 'commander';
import { group, leaf, run } from '../grammar.ts';
import { choice, keyValues, withAdminState, withTag, withTagChange, withTagRemoval, withWait } from '../options.ts';
import { LB_ALGORITHMS, POOL_PROTOCOLS } from '../words.ts';
import { withFilters } from './filters.ts';

const load = () => import('../resources/pool.ts');
const PERSISTENCE = '--session-persistence <type=type,...>';
const PERSISTENCE_HELP =
  'how clients stay with their member, such as type=HTTP_COOKIE or type=APP_COOKIE,cookie_name=sid';

/** `loadbalancer pool create|list|show|set|unset|delete`. */
export function addPoolCommands(parent: Command): void {
  const pool = group(parent, 'pool', 'Pools: members that share the work');

  const create = leaf(pool, 'create', 'Create a pool', [
    'loadbalancer pool create --name p --listener http --protocol HTTP --lb-algorithm ROUND_ROBIN',
    'loadbalancer pool create --name p --loadbalancer web --protocol TCP --lb-algorithm SOURCE_IP --wait',
  ])
    .option('--name <name>', 'its name')
    .option('--description <description>', 'its description')
    .requiredOption('--protocol <protocol>', POOL_PROTOCOLS.join(', '), choice(POOL_PROTOCOLS))
    .requiredOption('--lb-algorithm <algorithm>', LB_ALGORITHMS.join(', '), choice(LB_ALGORITHMS))
    .addOption(
      new Option('--listener <listener>', 'listener whose default pool it becomes (name or id)').conflicts(
        'loadbalancer',
      ),
    )
    .addOption(
      new Option('--loadbalancer <loadbalancer>', 'load balancer that it belongs to (name or id)').conflicts(
        'listener',
      ),
    )
    .option(PERSISTENCE, PERSISTENCE_HELP, keyValues);
  withWait(withTag(withAdminState(create))).action(run(async () => (await load()).create));

  withFilters(
    leaf(pool, 'list', 'List pools, oldest first', [
      'loadbalancer pool list',
      'loadbalancer pool list --loadbalancer web',
    ]),
  )
    .option('--name <name>', 'only those of this name')
    .option('--loadbalancer <loadbalancer>', 'only those of this load balancer (name or id)')
    .action(run(async () => (await load()).list));

  leaf(pool, 'show', 'Show a pool', ['loadbalancer pool show p'])
    .argument('<pool>', 'name or id')
    .action(run(async () => (await load()).show));

  const set = leaf(pool, 'set', 'Change a pool', [
    'loadbalancer pool set --lb-algorithm LEAST_CONNECTIONS p',
    'loadbalancer pool set --session-persistence type=HTTP_COOKIE --wait p',
  ])
    .argument('<pool>', 'name or id')
    .option('--name <name>', 'new name')
    .option('--description <description>', 'new description')
    .option('--lb-algorithm <algorithm>', LB_ALGORITHMS.join(', '), choice(LB_ALGORITHMS))
    .option(PERSISTENCE, PERSISTENCE_HELP, keyValues);
  withWait(withTagChange(withAdminState(set))).action(run(async () => (await load()).set));

  const unset = leaf(pool, 'unset', 'Clear settings of a pool', ['loadbalancer pool unset --session-persistence p'])
    .argument('<pool>', 'name or id')
    .option('--name', 'clear the name')
    .option('--description', 'clear the description')
    .option('--session-persistence', 'end session persistence');
  withWait(withTagRemoval(unset)).action(run(async () => (await load()).unset));

  withWait(
    leaf(pool, 'delete', 'Delete a pool with its members and health monitor', ['loadbalancer pool delete --wait p']),
  )
    .argument('<pool>', 'name or id')
    .action(run(async () => (await load()).remove));
}
