import type { FenceConfirmation } from '@octavia/db';
import { DomainError, type Machine, type Seat, Unavailable } from '@octavia/domain';
import { InstanceNotFoundError, InstanceOfAnotherHost, StaleFence } from '@octavia/drivers';
import { ATTR } from '@octavia/service';
import { type Context, callOf } from '../world.ts';

/** How long the driver is asked all the same where a person has confirmed the isolation, in milliseconds: it may be back by now. */
const CONFIRMED_TRY_MS = 2_000;

const FENCE_NOT_CONFIRMED = 'FENCE_NOT_CONFIRMED';

/** What steps that isolate amphorae wait for, and what their flow ends with when nobody does anything about it. */
export const AWAITS_FENCE = {
  [FENCE_NOT_CONFIRMED]: 'the amphora to be isolated, or a person to confirm that it is',
} as const;

/** No driver can say that the amphora is isolated. Tried again, until a person confirms it or the deadline passes. */
class NotIsolated extends Unavailable {
  constructor(amphoraId: string, cause: DomainError) {
    super(
      FENCE_NOT_CONFIRMED,
      `Amphora ${amphoraId} may still hold the VIP, and nothing confirms that it is isolated: ${cause.message} ` +
        `Make sure of it yourself, then say so: octaviactl loadbalancer amphora fence --confirm ${amphoraId}`,
      { amphoraId, cause: cause.reason },
      1_000,
      { cause },
    );
  }
}

/** Whether the amphora may answer for its load balancer's VIP. One that was built and never plugged cannot, whatever became of it. */
export function mayHoldVip({ haIp }: Pick<Seat, 'haIp'>): boolean {
  return haIp !== null;
}

/** The compute id of an amphora, asked for by its own id where an interrupted build did not record it. Null: there is no instance. */
export async function computeIdOf(amphora: Machine, context: Context): Promise<string | null> {
  if (amphora.computeId !== null) return amphora.computeId;
  try {
    return (await context.compute.get({ amphoraId: amphora.id }, callOf(context))).computeId;
  } catch (error) {
    if (error instanceof InstanceNotFoundError) return null;
    throw error;
  }
}

/**
 * Isolates the amphora for good. Returns who has confirmed that it is isolated, where the driver could not; null: the driver did.
 * @throws NotIsolated
 */
export async function fenceAmphora(amphora: Machine, context: Context): Promise<FenceConfirmation | null> {
  const [confirmation] = await context.fenceConfirmations.among(context.reader, [amphora.id]);
  const fence = async (within: Context): Promise<null> => {
    // Nobody knows whether a worker that was stopped is about to build it.
    if (amphora.computeId === null) await within.compute.forbid(amphora.id, callOf(within));
    const computeId = await computeIdOf(amphora, within);
    if (computeId !== null) await within.compute.fence(computeId, callOf(within));
    return null;
  };
  if (confirmation) return (await unlessOutOfReach(amphora, context, fence)) === 'OUT_OF_REACH' ? confirmation : null;
  try {
    return await fence(context);
  } catch (error) {
    context.signal.throwIfAborted();
    // The worker of that host may take the next try; where the host is gone, only a person can tell.
    if (error instanceof Unavailable || error instanceof InstanceOfAnotherHost)
      throw new NotIsolated(amphora.id, error);
    throw error;
  }
}

/** Asks a driver for something about an amphora of which a person has confirmed that it is isolated: it need not be there. */
export async function unlessOutOfReach<T>(
  amphora: Machine,
  context: Context,
  work: (limited: Context) => Promise<T>,
): Promise<T | 'OUT_OF_REACH'> {
  const limit = AbortSignal.timeout(CONFIRMED_TRY_MS);
  try {
    return await work({ ...context, signal: AbortSignal.any([context.signal, limit]) });
  } catch (error) {
    context.signal.throwIfAborted();
    const isOutOfReach = limit.aborted || (error instanceof DomainError && !(error instanceof StaleFence));
    if (!isOutOfReach) throw error;
    context.log.warn({ [ATTR.AMPHORA_ID]: amphora.id, err: error }, 'out of reach, going on: a person confirmed it');
    return 'OUT_OF_REACH';
  }
}
