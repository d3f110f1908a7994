import type { Amphora } from '@octavia/domain';
import { Closing } from '../engine/flow.ts';
import { type Context, callOf, type WorkerStep } from '../world.ts';
import { agentConfigOf } from './agent-config.ts';

/** Paths in the amphora. Source: Octavia's amphora image; amphora-boot of the reference. */
const AGENT_CONFIG_PATH = '/etc/octavia/amphora-agent.conf';
const AGENT_CERTIFICATE_PATH = '/etc/octavia/certs/server.pem';
const CLIENT_CA_PATH = '/etc/octavia/certs/client_ca.pem';

export interface BuildAmphoraState {
  readonly newAmphoraId: string;
}

/** Asks the compute service for an instance, unless the amphora is a spare. Its undo is that of the step that took the amphora. */
export const buildAmphora: WorkerStep<BuildAmphoraState> = {
  name: 'build_amphora',
  async do({ newAmphoraId }, context) {
    const { transaction, amphorae, compute, externalResources, agentConfigs, settings, flow } = context;
    const amphora = await transaction(async (tx) => {
      const found = await amphorae.get(tx, newAmphoraId);
      if (found.status === 'BOOTING') {
        await externalResources.announce(tx, {
          kind: 'instance',
          name: instanceName(newAmphoraId),
          driver: compute.name,
          amphoraId: newAmphoraId,
          loadBalancerId: found.loadBalancerId,
          flowId: flow.id,
        });
      }
      return found;
    });
    if (amphora.status !== 'BOOTING') return;
    const computeId = await compute.build(
      {
        amphoraId: newAmphoraId,
        ...(amphora.class.computeFlavor ? { amphoraFlavor: amphora.class.computeFlavor } : {}),
        ...(amphora.class.imageTag ? { imageTag: amphora.class.imageTag } : {}),
        ...(amphora.class.zone ? { availabilityZone: amphora.class.zone } : {}),
        configDriveFiles: await filesFor(amphora, context),
      },
      callOf(context),
    );
    return new Closing(async (tx) => {
      await amphorae.update(tx, newAmphoraId, { computeId });
      await agentConfigs.note(tx, newAmphoraId, settings.agent.digest);
      await externalResources.confirm(tx, 'instance', instanceName(newAmphoraId));
      return {};
    });
  },
};

export function instanceName(amphoraId: string): string {
  return `amphora-${amphoraId}`;
}

/** A second try gives the same key and certificate as the first: it may have built the instance with them. */
async function filesFor(amphora: Amphora, context: Context): Promise<Record<string, string>> {
  const { certificates, secrets, amphorae, transaction, reader, settings } = context;
  const kept = await secrets.get(reader, 'amphora_certificate', amphora.id);
  const pem = kept ?? (await issue());
  return {
    [AGENT_CONFIG_PATH]: agentConfigOf(amphora, settings),
    [AGENT_CERTIFICATE_PATH]: pem,
    [CLIENT_CA_PATH]: await certificates.clientCa(),
  };

  async function issue(): Promise<string> {
    const issued = await certificates.issueAgentCertificate(amphora.id, callOf(context));
    return transaction(async (tx) => {
      await amphorae.update(tx, amphora.id, { certExpiresAt: issued.expiresAt });
      return secrets.putOnce(tx, 'amphora_certificate', amphora.id, `${issued.certificate}${issued.privateKey}`);
    });
  }
}
