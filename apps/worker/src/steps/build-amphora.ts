import type { Tx } from '@octavia/db';
import type { Amphora } from '@octavia/domain';
import { Closing } from '../engine/flow.ts';
import { type Context, callOf, type WorkerStep } from '../world.ts';
import { agentConfigOf } from './agent-config.ts';
import { releaseBuildSlots, takeBuildSlots } from './build-slot.ts';
import { apartFrom } from './choose-amphora.ts';
import type { NewAmphora } from './rounds.ts';
import { together } from './together.ts';

/** Paths in the amphora. Source: Octavia's amphora image; amphora-boot of the reference. */
const AGENT_CONFIG_PATH = '/etc/octavia/amphora-agent.conf';
export const AGENT_CERTIFICATE_PATH = '/etc/octavia/certs/server.pem';
export const CLIENT_CA_PATH = '/etc/octavia/certs/client_ca.pem';

export interface BuildAmphoraState {
  readonly newAmphorae: readonly NewAmphora[];
}

/**
 * Asks the compute service for instances, but of spares, at the same time, once it has a build slot for each: until they are up. What was
 * built is undone by the step that took the amphorae.
 */
export const buildAmphorae: WorkerStep<BuildAmphoraState> = {
  name: 'build_amphorae',
  async do({ newAmphorae }, context) {
    const ids = newAmphorae.map(({ id }) => id);
    const pause = await takeBuildSlots(ids, context);
    if (pause) return pause;
    const records = await together(newAmphorae, context, ({ id }, limited) => build(id, limited));
    const built = records.filter((record) => record !== null);
    if (built.length === 0) return;
    return new Closing(async (tx) => {
      for (const record of built) await record(tx);
      return {};
    });
  },
  async undo(_, context) {
    await context.transaction((tx) => releaseBuildSlots(tx, context));
  },
};

/** Asks for the instance of one amphora. Returns what is to be written down; null: it is a spare. @throws AmphoraBuildError */
export async function build(amphoraId: string, context: Context): Promise<((tx: Tx) => Promise<void>) | null> {
  const { transaction, amphorae, compute, externalResources, agentConfigs, settings, flow } = context;
  const amphora = await transaction(async (tx) => {
    const found = await amphorae.get(tx, amphoraId);
    if (found.status === 'BOOTING') {
      await externalResources.announce(tx, {
        kind: 'instance',
        name: instanceName(amphoraId),
        driver: compute.name,
        amphoraId,
        loadBalancerId: found.seats[0]?.loadBalancerId ?? null,
        flowId: flow.id,
      });
    }
    return found;
  });
  if (amphora.status !== 'BOOTING') return null;
  const others = await othersOf(amphora, context);
  const computeId = await compute.build(
    {
      amphoraId,
      ...(amphora.class.computeFlavor ? { amphoraFlavor: amphora.class.computeFlavor } : {}),
      ...(amphora.class.imageTag ? { imageTag: amphora.class.imageTag } : {}),
      ...(amphora.class.zone ? { availabilityZone: amphora.class.zone } : {}),
      ...(others.length > 0 ? { apartFrom: others } : {}),
      configDriveFiles: await filesFor(amphora, context),
    },
    callOf(context),
  );
  return async (tx) => {
    await amphorae.update(tx, amphoraId, { computeId });
    await agentConfigs.note(tx, amphoraId, settings.agent.digest);
    await externalResources.confirm(tx, 'instance', instanceName(amphoraId));
  };
}

/** Ids of the amphorae that it had better not share a compute host with. */
async function othersOf({ seats: [seat] }: Amphora, context: Context): Promise<string[]> {
  if (!seat) return [];
  const lb = await context.loadBalancers.get(context.reader, seat.loadBalancerId, null);
  return (await apartFrom(context.reader, lb, seat.role, context)).map(({ amphoraId }) => amphoraId);
}

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
