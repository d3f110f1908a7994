import { type Command, Option } from 'commander';
import { group, leaf, run } from '../grammar.ts';
import { integer, withAdminState, withTag, withTagChange, withTagRemoval, withWait } from '../options.ts';
import { withFilters } from './filters.ts';

const load = () => import('../resources/member.ts');

/** `loadbalancer member create|list|show|set|unset|delete`. */
export function addMemberCommands(parent: Command): void {
  const member = group(parent, 'member', 'Members: the servers of a pool');
  const inPool = (command: Command) =>
    command.argument('<pool>', 'pool that it belongs to (name or id)').argument('<member>', 'name or id');

  const create = leaf(member, 'create', 'Create a member', [
    'loadbalancer member create --address 127.0.0.1 --protocol-port 9001 p',
    'loadbalancer member create --name blue --address 127.0.0.1 --protocol-port 9002 --weight 5 --wait p',
  ])
    .argument('<pool>', 'pool that it belongs to (name or id)')
    .requiredOption('--address <address>', 'its IP address')
    .requiredOption('--protocol-port <port>', 'its port, 1 to 65535', integer)
    .option('--subnet-id <subnet>', "subnet by which it is reached (default: the VIP's)");
  withWait(withTag(withAdminState(withSettings(create)))).action(run(async () => (await load()).create));

  withFilters(leaf(member, 'list', 'List the members of a pool, oldest first', ['loadbalancer member list p']))
    .argument('<pool>', 'name or id')
    .option('--name <name>', 'only those of this name')
    .action(run(async () => (await load()).list));

  inPool(leaf(member, 'show', 'Show a member', ['loadbalancer member show p blue'])).action(
    run(async () => (await load()).show),
  );

  const set = inPool(leaf(member, 'set', 'Change a member', ['loadbalancer member set --weight 0 --wait p blue']));
  withWait(withTagChange(withAdminState(withSettings(set)))).action(run(async () => (await load()).set));

  const unset = inPool(
    leaf(member, 'unset', 'Clear settings of a member', ['loadbalancer member unset --weight p blue']),
  )
    .option('--name', 'clear the name')
    .option('--weight', 'back to the default')
    .option('--backup', 'make it an ordinary member')
    .option('--monitor-address', 'check its address again')
    .option('--monitor-port', 'check its port again');
  withWait(withTagRemoval(unset)).action(run(async () => (await load()).unset));

  withWait(inPool(leaf(member, 'delete', 'Delete a member', ['loadbalancer member delete --wait p blue']))).action(
    run(async () => (await load()).remove),
  );
}

function withSettings(command: Command): Command {
  return command
    .option('--name <name>', 'its name')
    .option('--weight <weight>', 'its share of the work, 0 to 256; 0 drains it', integer)
    .addOption(new Option('--enable-backup', 'serve only while all others are down').conflicts('disableBackup'))
    .addOption(new Option('--disable-backup', 'serve always').conflicts(['enableBackup', 'backup']))
    .addOption(new Option('--backup', 'the same as --enable-backup').conflicts('disableBackup'))
    .option('--monitor-address <address>', 'IP address to check instead of its own')
    .option('--monitor-port <port>', 'port to check instead of its own', integer);
}
