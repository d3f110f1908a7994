import { setTimeout as sleep } from 'node:timers/promises';
import { type Amphora, type AmphoraFacts, DomainError } from '@octavia/domain';
import { AmphoraBuildError, type Instance } from '@octavia/drivers';
import { Closing } from '../engine/flow.ts';
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
    const { amphorae, secrets, reader } = context;
    const amphora = await amphorae.get(reader, newAmphoraId);
    if (amphora.status !== 'BOOTING') return;
    const instance = await built(amphora, context);
    const facts = await firstAnswer(newAmphoraId, instance, context);
    return new Closing(async (tx) => {
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
      return {};
    });
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
    if (pause === FIRST_PAUSE_MS) await context.waitingFor('instance to be built');
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
    if (pause === FIRST_PAUSE_MS) await context.waitingFor('amphora to answer');
    await sleep(pause, undefined, { signal: context.signal });
    // Its processes may have ended meanwhile: then no answer will ever come.
    await built(await context.amphorae.get(context.reader, amphoraId), context);
  }
  throw new Error('The pauses never end.');
}

function* pauses(): Generator<number> {
  for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(LONGEST_PAUSE_MS, pause * PAUSE_GROWTH)) yield pause;
}
