import { setTimeout as sleep } from 'node:timers/promises';
import { type Amphora, type AmphoraFacts, DomainError } from '@octavia/domain';
import { AmphoraBuildError, type Instance } from '@octavia/drivers';
import { type Context, callOf, type WorkerStep } from '../world.ts';

/** Pauses between two looks, in milliseconds: a local amphora is up in 300, a virtual machine takes a minute. */
const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 1_000;
const PAUSE_GROWTH = 1.3;

export interface WaitForAmphoraState {
  readonly newAmphoraId: string;
}

/** Waits until the agent of a new amphora answers, and keeps what it says of itself: configurations are rendered from that. */
export const waitForAmphora: WorkerStep<WaitForAmphoraState> = {
  name: 'wait_for_amphora',
  async do({ newAmphoraId }, context) {
    const { amphorae, secrets, transaction, waitingFor } = context;
    const amphora = await transaction((tx) => amphorae.get(tx, newAmphoraId));
    if (amphora.status !== 'BOOTING') return;
    await waitingFor('instance to be built');
    const instance = await built(amphora, context);
    await waitingFor('amphora to answer');
    const facts = await firstAnswer(newAmphoraId, instance, context);
    await transaction(async (tx) => {
      await amphorae.update(tx, newAmphoraId, {
        computeId: instance.computeId,
        computeHost: instance.computeHost,
        imageId: instance.imageId,
        lbNetworkIp: instance.lbNetworkIp,
        agentPort: instance.agentPort,
        facts,
      });
      if (amphora.loadBalancerId !== null) await amphorae.setStatus(tx, newAmphoraId, 'ALLOCATED');
      // It has its key now; ours is not needed any more.
      await secrets.delete(tx, 'amphora_certificate', newAmphoraId);
    });
    return;
  },
};

type Built = Instance & { readonly lbNetworkIp: string };

async function built(amphora: Amphora, context: Context): Promise<Built> {
  for (const pause of pauses()) {
    const instance = await context.compute.get({ amphoraId: amphora.id }, callOf(context));
    const { status, lbNetworkIp, fault } = instance;
    if (status === 'ACTIVE' && lbNetworkIp !== null) return { ...instance, lbNetworkIp };
    if (status === 'ERROR' || status === 'STOPPED') {
      throw new AmphoraBuildError(
        `Amphora ${amphora.id} did not come up: ${fault ?? 'its instance has stopped'}. Look at the log of the compute service.`,
        { amphoraId: amphora.id, status },
      );
    }
    await sleep(pause, undefined, { signal: context.signal });
  }
  throw new Error('The pauses never end.');
}

async function firstAnswer(amphoraId: string, instance: Built, context: Context): Promise<AmphoraFacts> {
  const endpoint = { amphoraId, lbNetworkIp: instance.lbNetworkIp, agentPort: instance.agentPort };
  for (const pause of pauses()) {
    try {
      return await context.amphora.getFacts(endpoint, callOf(context));
    } catch (error) {
      const isUnavailable = error instanceof DomainError && error.kind === 'unavailable';
      if (!isUnavailable || context.signal.aborted) throw error;
      context.log.debug({ reason: error.reason }, 'amphora does not answer yet');
    }
    await sleep(pause, undefined, { signal: context.signal });
    // Its processes may have ended meanwhile: then no answer will ever come.
    await built(await context.transaction((tx) => context.amphorae.get(tx, amphoraId)), context);
  }
  throw new Error('The pauses never end.');
}

function* pauses(): Generator<number> {
  for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(LONGEST_PAUSE_MS, pause * PAUSE_GROWTH)) yield pause;
}
