import type { Command } from 'commander';
import { group, leaf, run } from '../grammar.ts';
import { choice, integer, withAdminState, withTag, withTagChange, withTagRemoval, withWait } from '../options.ts';
import { TOPOLOGIES } from '../words.ts';
import { withFilters } from './filters.ts';

const load = () => import('../resources/load-balancer.ts');

/** `loadbalancer create|list|show|set|unset|delete|failover|rollback|revision …|status show|stats show`. */
export function addLoadBalancerCommands(parent: Command): void {
  addChanges(parent);

  withFilters(
    leaf(parent, 'list', 'List load balancers, oldest first', [
      'loadbalancer list',
      'loadbalancer list --provisioning-status ERROR -f value -c id',
    ]),
  )
    .option('--name <name>', 'only those of this name')
    .option('--vip-subnet-id <subnet>', 'only those with a VIP of this subnet')
    .option('--vip-address <address>', 'only the one with this VIP')
    .option('--provider <provider>', 'only those of this provider')
    .option('--apolocation-group <group>', 'only those of this apolocation group')
    .action(run(async () => (await load()).list));

  leaf(parent, 'show', 'Show a load balancer', [
    'loadbalancer show web',
    'loadbalancer show web -f value -c vip_address',
  ])
    .argument('<loadbalancer>', 'name or id')
    .action(run(async () => (await load()).show));

  withWait(leaf(parent, 'delete', 'Delete a load balancer', ['loadbalancer delete --cascade --wait web']))
    .argument('<loadbalancer>', 'name or id')
    .option('--cascade', 'delete its listeners, pools, members and health monitors too')
    .action(run(async () => (await load()).remove));

  withWait(leaf(parent, 'failover', 'Replace the amphorae of a load balancer', ['loadbalancer failover --wait web']))
    .argument('<loadbalancer>', 'name or id')
    .action(run(async () => (await load()).failover));

  addRevisions(parent);

  const status = group(parent, 'status', 'The statuses of a load balancer and of everything below it');
  leaf(status, 'show', 'Show the tree of statuses of a load balancer', [
    'loadbalancer status show web',
    'loadbalancer status show web -f json',
  ])
    .argument('<loadbalancer>', 'name or id')
    .action(run(async () => (await import('../resources/status-tree.ts')).show));

  const stats = group(parent, 'stats', 'The traffic of a load balancer');
  leaf(stats, 'show', 'Show what a load balancer has carried', [
    'loadbalancer stats show web',
    'loadbalancer stats show web -f value -c total_connections',
  ])
    .argument('<loadbalancer>', 'name or id')
    .action(run(async () => (await import('../resources/statistics.ts')).showLoadBalancer));
}

function addRevisions(parent: Command): void {
  const loadRevisions = () => import('../resources/revision.ts');
  const rollback = leaf(
    parent,
    'rollback',
    'Take a load balancer and everything below it back to an earlier revision',
    ['loadbalancer rollback --to 12 --dry-run web', 'loadbalancer rollback --to 12 --wait web'],
  )
    .argument('<loadbalancer>', 'name or id')
    .requiredOption('--to <number>', 'the revision to go back to', (text) => Math.max(1, integer(text)))
    .option('--dry-run', 'check it, and show what it would change');
  withWait(rollback).action(run(async () => (await loadRevisions()).rollback));

  const revision = group(parent, 'revision', 'What was changed of a load balancer and of everything below it');
  leaf(revision, 'list', 'List changes, newest first', [
    'loadbalancer revision list web',
    'loadbalancer revision list web --object 0199… -f json',
  ])
    .argument('<loadbalancer>', 'name or id')
    .option('--object <id>', 'only changes of this object')
    .option('--limit <count>', 'the newest, at most this many (default: 50)', (text) => Math.max(1, integer(text)))
    .action(run(async () => (await loadRevisions()).list));
  leaf(revision, 'show', 'Show what one change did', ['loadbalancer revision show web 12'])
    .argument('<loadbalancer>', 'name or id')
    .argument('<number>', 'of the revision')
    .action(run(async () => (await loadRevisions()).show));
  leaf(revision, 'compare', 'Show what differs between two revisions', [
    'loadbalancer revision compare web 12',
    'loadbalancer revision compare web 12 15 -f json',
  ])
    .argument('<loadbalancer>', 'name or id')
    .argument('<from>', 'number of a revision')
    .argument('[to]', 'number of another (default: the newest)')
    .action(run(async () => (await loadRevisions()).compare));
}

function addChanges(parent: Command): void {
  const create = leaf(parent, 'create', 'Create a load balancer', [
    'loadbalancer create --name web --wait',
    'loadbalancer create --name web --vip-address 127.0.1.7 --tag shop',
    'loadbalancer create --name web --topology ACTIVE_STANDBY --wait',
    'loadbalancer create --name web-2 --apolocation-group web --wait',
  ])
    .option('--name <name>', 'its name')
    .option('--description <description>', 'its description')
    .option('--vip-subnet-id <subnet>', "subnet of the VIP (default: the installation's)")
    .option('--vip-address <address>', 'the VIP (default: a free address of the subnet)')
    .option('--provider <provider>', 'provider (default: amphora)')
    .option('--flavor <flavor>', 'flavor (name or id)')
    .option('--availability-zone <zone>', 'availability zone (name)')
    .option('--topology <topology>', `${TOPOLOGIES.join(', ')} (default: that of the flavor)`, choice(TOPOLOGIES))
    .option('--apolocation-group <group>', 'share no amphora with others of the project that have the same group');
  withWait(withTag(withAdminState(create))).action(run(async () => (await load()).create));

  const set = leaf(parent, 'set', 'Change a load balancer', ['loadbalancer set --name shop --wait web'])
    .argument('<loadbalancer>', 'name or id')
    .option('--name <name>', 'new name')
    .option('--description <description>', 'new description');
  withWait(withTagChange(withAdminState(set))).action(run(async () => (await load()).set));

  const unset = leaf(parent, 'unset', 'Clear settings of a load balancer', ['loadbalancer unset --description web'])
    .argument('<loadbalancer>', 'name or id')
    .option('--name', 'clear the name')
    .option('--description', 'clear the description');
  withWait(withTagRemoval(unset)).action(run(async () => (await load()).unset));
}
