import { Command } from 'commander';
import { addAmphoraCommands } from './commands/amphora.ts';
import { addAvailabilityZoneCommands } from './commands/availability-zone.ts';
import { addCompletionCommand } from './commands/completion.ts';
import { addEventCommands } from './commands/event.ts';
import { addFlavorCommands } from './commands/flavor.ts';
import { addFlowCommands } from './commands/flow.ts';
import { addHealthMonitorCommands } from './commands/health-monitor.ts';
import { addListenerCommands } from './commands/listener.ts';
import { addLoadBalancerCommands } from './commands/load-balancer.ts';
import { addMemberCommands } from './commands/member.ts';
import { addOrphanCommands } from './commands/orphan.ts';
import { addPoolCommands } from './commands/pool.ts';
import { addProviderCommands } from './commands/provider.ts';
import { addSystemCommands } from './commands/system.ts';
import { addGlobalOptions } from './globals.ts';
import { group } from './grammar.ts';
import { VERSION } from './version.ts';

const AFTER_HELP = `
Examples:
  $ octaviactl status --wait
  $ octaviactl loadbalancer create --name web --wait
  $ octaviactl loadbalancer listener create --name http --protocol HTTP --protocol-port 8080 web
  $ octaviactl loadbalancer pool create --name p --listener http --protocol HTTP --lb-algorithm ROUND_ROBIN
  $ octaviactl loadbalancer member create --address 127.0.0.1 --protocol-port 9001 --wait p
  $ octaviactl loadbalancer list -f json
  $ octaviactl events web --follow

Exit codes:
  0 done; 1 failed; 2 the command line is wrong, or the controller refused a value of it;
  3 not found; 4 cannot connect; 130 interrupted

Environment:
  OCTAVIACTL_CONFIG  connection file
  OCTAVIA_HOME       data folder of the controller, which holds octaviactl.json
  NO_COLOR           no colours`;

/** The whole grammar. Declares only; what a command does is loaded when it runs. */
export function buildProgram(): Command {
  const program = new Command('octaviactl')
    .description('The command line of the Octavia controller, in the grammar of "openstack loadbalancer"')
    .version(VERSION, '--version', 'show the version')
    .helpOption('-h, --help', 'show help')
    .helpCommand('help [command]', 'show help')
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({ outputError: () => {} }) // Reported in one place, also as JSON.
    .addHelpText('after', AFTER_HELP)
    .exitOverride();
  addGlobalOptions(program);
  const loadBalancer = group(program, 'loadbalancer', 'Load balancers and what belongs to them');
  addLoadBalancerCommands(loadBalancer);
  addListenerCommands(loadBalancer);
  addPoolCommands(loadBalancer);
  addMemberCommands(loadBalancer);
  addHealthMonitorCommands(loadBalancer);
  addFlavorCommands(loadBalancer);
  addAvailabilityZoneCommands(loadBalancer);
  addProviderCommands(loadBalancer);
  addAmphoraCommands(loadBalancer);
  addFlowCommands(program);
  addEventCommands(program);
  addOrphanCommands(program);
  addSystemCommands(program);
  addCompletionCommand(program);
  return program;
}
