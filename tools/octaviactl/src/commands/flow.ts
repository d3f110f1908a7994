import type { Command } from 'commander';
import { group, leaf, run } from '../grammar.ts';
import { choice, integer } from '../options.ts';
import { FLOW_STATES } from '../words.ts';

const load = () => import('../resources/flow.ts');
const ID = '0197a3c2-7a5e-7c7b-9d51-7f6d8c0a1b2c';

/** `flow list|show|watch|cancel|retry`. */
export function addFlowCommands(program: Command): void {
  const flow = group(program, 'flow', 'Flows: what the controller is doing, step by step (for administrators)');

  of(
    leaf(flow, 'list', 'List flows, newest first', ['flow list --open', 'flow list --loadbalancer web --state FAILED']),
  )
    .option('--state <state>', FLOW_STATES.join(', '), choice(FLOW_STATES))
    .option('--open', 'only those that are queued or run')
    .option('--limit <count>', 'read at most this many (default: 100)', (text) => Math.max(1, integer(text)))
    .action(run(async () => (await load()).list));

  leaf(flow, 'show', 'Show a flow and its steps', [`flow show ${ID}`, `flow show ${ID} -f json`])
    .argument('<flow>', 'id')
    .action(run(async () => (await load()).show));

  of(
    leaf(flow, 'watch', 'Show what flows do as they do it: one until it ends, or all until Ctrl-C', [
      'flow watch',
      'flow watch --loadbalancer web',
      `flow watch ${ID}`,
    ]),
  )
    .argument('[flow]', 'id')
    .action(run(async () => (await load()).watch));

  leaf(flow, 'cancel', 'Ask a flow to stop: it undoes what it did', [`flow cancel ${ID}`])
    .argument('<flow>', 'id')
    .action(run(async () => (await load()).cancel));

  leaf(flow, 'retry', 'End the wait of a flow for its next try', [`flow retry ${ID}`])
    .argument('<flow>', 'id')
    .action(run(async () => (await load()).retry));
}

function of(command: Command): Command {
  return command
    .option('--loadbalancer <loadbalancer>', 'only those of this load balancer (name or id)')
    .option('--amphora <amphora>', 'only those of this amphora (id)');
}
