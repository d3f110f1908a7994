import { Unavailable } from '@octavia/domain';
import { Closing, Superseded } from '../engine/flow.ts';
import { callOf, endpointOf, type WorkerStep } from '../world.ts';
import { agentConfigOf } from './agent-config.ts';

/** This worker was started with other settings than the newest one: another worker has to do it. */
class OtherSettings extends Unavailable {
  constructor() {
    super(
      'AGENT_SETTINGS_DIFFER',
      'This worker has other settings for agents (controllers, heartbeat interval or key) than the worker that was started last. ' +
        'Give all workers the same, and restart them.',
      {},
    );
  }
}

/** Sends the agent its configuration, of which it takes what may change while it runs. Traffic is not touched. */
export const configureAgent: WorkerStep<{ readonly amphoraId: string }> = {
  name: 'configure_agent',
  async do({ amphoraId }, context) {
    const { amphorae, agentConfigs, reader, settings } = context;
    const found = await amphorae.get(reader, amphoraId);
    if (found.status !== 'READY' && found.status !== 'ALLOCATED') {
      throw new Superseded(`Amphora ${amphoraId} is ${found.status} by now.`);
    }
    const { digest } = settings.agent;
    const wanted = await agentConfigs.wanted(reader);
    if (wanted !== null && wanted !== digest) throw new OtherSettings();
    await context.amphora.updateAgentConfig(endpointOf(found), agentConfigOf(found, settings), callOf(context));
    return new Closing(async (tx) => {
      await agentConfigs.note(tx, amphoraId, digest);
      return {};
    });
  },
};
