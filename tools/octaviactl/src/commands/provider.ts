import { type Command, Option } from 'commander';
import { group, leaf, run } from '../grammar.ts';

const load = () => import('../resources/provider.ts');

/** `loadbalancer provider list|capability list`. */
export function addProviderCommands(parent: Command): void {
  const provider = group(parent, 'provider', 'Providers: what carries load balancers');
  leaf(provider, 'list', 'List the providers', ['loadbalancer provider list']).action(
    run(async () => (await load()).list),
  );
  const capability = group(provider, 'capability', 'What flavors and zones can say to a provider (for administrators)');
  leaf(capability, 'list', 'List the keys that profiles of a provider may have', [
    'loadbalancer provider capability list amphora',
    'loadbalancer provider capability list --flavor amphora',
  ])
    .argument('<provider>', 'its name, such as amphora')
    .addOption(new Option('--flavor', 'only those of flavors').conflicts('availabilityZone'))
    .addOption(new Option('--availability-zone', 'only those of availability zones').conflicts('flavor'))
    .action(run(async () => (await load()).listCapabilities));
}
