import { setTimeout as sleep } from 'node:timers/promises';
import type { Machine } from '@octavia/domain';
import { AmphoraBuildError, type Instance } from '@octavia/drivers';
import { type Context, callOf } from '../world.ts';

/** Pauses between two looks, in milliseconds: a local amphora is up in 300, a virtual machine takes a minute. */
const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 1_000;
const PAUSE_GROWTH = 1.3;

/** An instance that runs, so its address is known. */
export type Built = Instance & { readonly lbNetworkIp: string };

/** Waits until the compute service says that the instance runs. @throws AmphoraBuildError when it has ended */
export async function built(amphora: Machine, context: Context): Promise<Built> {
  let isTold = false;
  for await (const _ of pauses(context.signal)) {
    const instance = await context.compute.get({ amphoraId: amphora.id }, callOf(context));
    const { status, lbNetworkIp, fault } = instance;
    if (status === 'ACTIVE' && lbNetworkIp !== null) return { ...instance, lbNetworkIp };
    if (status === 'ERROR' || status === 'STOPPED') {
      throw new AmphoraBuildError(
        `Amphora ${amphora.id} did not come up: ${fault ?? 'its instance has stopped'}. Look at the log of the compute service.`,
        { amphoraId: amphora.id, status },
      );
    }
    if (!isTold) await context.waitingFor('instance to be built');
    isTold = true;
  }
  throw new Error('The pauses never end.');
}

/** Again and again, at once and then after pauses that grow. Throws what the signal says. */
export async function* pauses(signal: AbortSignal): AsyncGenerator<void, never> {
  for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(LONGEST_PAUSE_MS, pause * PAUSE_GROWTH)) {
    yield;
    await sleep(pause, undefined, { signal });
  }
}
