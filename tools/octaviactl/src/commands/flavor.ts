import type { Command } from 'commander';
import { group, leaf, run } from '../grammar.ts';
import { withAdminState } from '../options.ts';
import { withLimit } from './filters.ts';

const load = () => import('../resources/flavor.ts');

/** `loadbalancer flavor …` and `loadbalancer flavorprofile …`, each `create|list|show|set|delete`; flavors `unset`, too. */
export function addFlavorCommands(parent: Command): void {
  addFlavors(group(parent, 'flavor', 'Flavors: kinds of load balancers that administrators offer'));
  addProfiles(group(parent, 'flavorprofile', 'Flavor profiles: what flavors mean (for administrators)'));
}

function addFlavors(flavor: Command): void {
  withAdminState(
    leaf(flavor, 'create', 'Create a flavor (for administrators)', [
      'loadbalancer flavor create --name large --flavorprofile large-amphorae --description "For shops"',
    ]),
  )
    .requiredOption('--name <name>', 'its name, which no other flavor has')
    .requiredOption('--flavorprofile <profile>', 'what it means (name or id)')
    .option('--description <description>', 'its description')
    .action(run(async () => (await load()).create));

  withLimit(withAdminState(leaf(flavor, 'list', 'List flavors, oldest first', ['loadbalancer flavor list --enable'])))
    .option('--name <name>', 'only the one of this name')
    .option('--flavorprofile <profile>', 'only those of this profile (name or id; for administrators)')
    .action(run(async () => (await load()).list));

  leaf(flavor, 'show', 'Show a flavor', ['loadbalancer flavor show large'])
    .argument('<flavor>', 'name or id')
    .action(run(async () => (await load()).show));

  withAdminState(
    leaf(flavor, 'set', 'Change a flavor (for administrators)', ['loadbalancer flavor set --disable large']),
  )
    .argument('<flavor>', 'name or id')
    .option('--name <name>', 'new name')
    .option('--description <description>', 'new description')
    .action(run(async () => (await load()).set));

  leaf(flavor, 'unset', 'Clear settings of a flavor (for administrators)', [
    'loadbalancer flavor unset --description large',
  ])
    .argument('<flavor>', 'name or id')
    .option('--description', 'clear the description')
    .action(run(async () => (await load()).unset));

  leaf(flavor, 'delete', 'Delete a flavor that no load balancer has (for administrators)', [
    'loadbalancer flavor delete large',
  ])
    .argument('<flavor>', 'name or id')
    .action(run(async () => (await load()).remove));
}

function addProfiles(profile: Command): void {
  leaf(profile, 'create', 'Create a flavor profile', [
    `loadbalancer flavorprofile create --name large-amphorae --provider amphora --flavor-data '{"compute_flavor": "m1.large"}'`,
  ])
    .requiredOption('--name <name>', 'its name')
    .requiredOption('--provider <provider>', 'provider, such as amphora')
    .requiredOption('--flavor-data <json>', 'what it means: a JSON object (see provider capability list)')
    .action(run(async () => (await load()).createProfile));

  withLimit(leaf(profile, 'list', 'List flavor profiles, oldest first', ['loadbalancer flavorprofile list']))
    .option('--name <name>', 'only those of this name')
    .option('--provider <provider>', 'only those of this provider')
    .action(run(async () => (await load()).listProfiles));

  leaf(profile, 'show', 'Show a flavor profile', ['loadbalancer flavorprofile show large-amphorae'])
    .argument('<profile>', 'name or id')
    .action(run(async () => (await load()).showProfile));

  leaf(profile, 'set', 'Change a flavor profile; provider and data only while no flavor uses it', [
    'loadbalancer flavorprofile set --name big-amphorae large-amphorae',
  ])
    .argument('<profile>', 'name or id')
    .option('--name <name>', 'new name')
    .option('--provider <provider>', 'new provider')
    .option('--flavor-data <json>', 'new meaning')
    .action(run(async () => (await load()).setProfile));

  leaf(profile, 'delete', 'Delete a flavor profile that no flavor uses', [
    'loadbalancer flavorprofile delete large-amphorae',
  ])
    .argument('<profile>', 'name or id')
    .action(run(async () => (await load()).removeProfile));
}
