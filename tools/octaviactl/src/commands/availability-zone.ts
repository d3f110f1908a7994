import type { Command } from 'commander';
import { group, leaf, run } from '../grammar.ts';
import { withAdminState } from '../options.ts';
import { withLimit } from './filters.ts';

const load = () => import('../resources/availability-zone.ts');

/** `loadbalancer availabilityzone …` and `… availabilityzoneprofile …`, each `create|list|show|set|delete`; zones `unset`, too. */
export function addAvailabilityZoneCommands(parent: Command): void {
  addZones(group(parent, 'availabilityzone', 'Availability zones: where load balancers can be'));
  const summary = 'Availability zone profiles: what zones mean (for administrators)';
  addProfiles(group(parent, 'availabilityzoneprofile', summary));
}

function addZones(zone: Command): void {
  withAdminState(
    leaf(zone, 'create', 'Create an availability zone (for administrators)', [
      'loadbalancer availabilityzone create --name east --availabilityzoneprofile east-racks',
    ]),
  )
    .requiredOption('--name <name>', 'its name, for ever')
    .requiredOption('--availabilityzoneprofile <profile>', 'what it means (name or id)')
    .option('--description <description>', 'its description')
    .action(run(async () => (await load()).create));

  withLimit(
    withAdminState(leaf(zone, 'list', 'List availability zones, oldest first', ['loadbalancer availabilityzone list'])),
  )
    .option('--name <name>', 'only the one of this name')
    .option('--availabilityzoneprofile <profile>', 'only those of this profile (name or id; for administrators)')
    .action(run(async () => (await load()).list));

  leaf(zone, 'show', 'Show an availability zone', ['loadbalancer availabilityzone show east'])
    .argument('<availabilityzone>', 'name')
    .action(run(async () => (await load()).show));

  withAdminState(
    leaf(zone, 'set', 'Change an availability zone (for administrators)', [
      'loadbalancer availabilityzone set --disable east',
    ]),
  )
    .argument('<availabilityzone>', 'name')
    .option('--description <description>', 'new description')
    .action(run(async () => (await load()).set));

  leaf(zone, 'unset', 'Clear settings of an availability zone (for administrators)', [
    'loadbalancer availabilityzone unset --description east',
  ])
    .argument('<availabilityzone>', 'name')
    .option('--description', 'clear the description')
    .action(run(async () => (await load()).unset));

  leaf(zone, 'delete', 'Delete an availability zone that no load balancer has (for administrators)', [
    'loadbalancer availabilityzone delete east',
  ])
    .argument('<availabilityzone>', 'name')
    .action(run(async () => (await load()).remove));
}

function addProfiles(profile: Command): void {
  leaf(profile, 'create', 'Create an availability zone profile', [
    `loadbalancer availabilityzoneprofile create --name east-racks --provider amphora --availability-zone-data '{"compute_zone": "east"}'`,
  ])
    .requiredOption('--name <name>', 'its name')
    .requiredOption('--provider <provider>', 'provider, such as amphora')
    .requiredOption('--availability-zone-data <json>', 'what it means: a JSON object (see provider capability list)')
    .action(run(async () => (await load()).createProfile));

  withLimit(
    leaf(profile, 'list', 'List availability zone profiles, oldest first', [
      'loadbalancer availabilityzoneprofile list',
    ]),
  )
    .option('--name <name>', 'only those of this name')
    .option('--provider <provider>', 'only those of this provider')
    .action(run(async () => (await load()).listProfiles));

  leaf(profile, 'show', 'Show an availability zone profile', ['loadbalancer availabilityzoneprofile show east-racks'])
    .argument('<profile>', 'name or id')
    .action(run(async () => (await load()).showProfile));

  leaf(profile, 'set', 'Change an availability zone profile; provider and data only while no zone uses it', [
    'loadbalancer availabilityzoneprofile set --name east east-racks',
  ])
    .argument('<profile>', 'name or id')
    .option('--name <name>', 'new name')
    .option('--provider <provider>', 'new provider')
    .option('--availability-zone-data <json>', 'new meaning')
    .action(run(async () => (await load()).setProfile));

  leaf(profile, 'delete', 'Delete an availability zone profile that no zone uses', [
    'loadbalancer availabilityzoneprofile delete east-racks',
  ])
    .argument('<profile>', 'name or id')
    .action(run(async () => (await load()).removeProfile));
}
