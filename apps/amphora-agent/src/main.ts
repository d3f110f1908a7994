/** The agent of one amphora. Bundled alone: it knows nothing of the controller but the amphora API and the heartbeat. */

import { type RunningAgent, startAgent } from './agent.ts';
import { HELP, readArguments } from './arguments.ts';
import { AgentStartError, messageOf } from './errors.ts';

/** Exit code of a fault that is not the caller's. Source: EX_SOFTWARE of sysexits.h. */
const EXIT_FAILURE = 70;

async function main(): Promise<void> {
  const found = readArguments(process.argv.slice(2));
  if (!found) {
    process.stdout.write(HELP);
    return;
  }
  const agent = await startAgent(found);
  process.once('SIGTERM', () => void stop(agent));
  process.once('SIGINT', () => void stop(agent));
}

async function stop(agent: RunningAgent): Promise<void> {
  try {
    await agent.stop();
    agent.log.info('agent stopped');
    process.exit(0);
  } catch (error) {
    agent.log.error({ reason: messageOf(error) }, 'agent could not stop cleanly');
    process.exit(EXIT_FAILURE);
  }
}

main().catch((error) => {
  const isExpected = error instanceof AgentStartError;
  process.stderr.write(`amphora-agent: ${isExpected ? error.message : (error?.stack ?? messageOf(error))}\n`);
  process.exit(isExpected ? error.exitCode : EXIT_FAILURE);
});
