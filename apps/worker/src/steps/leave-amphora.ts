import { setTimeout as sleep } from 'node:timers/promises';
import type { FenceConfirmation } from '@octavia/db';
import { DomainError, FAILOVER_REQUESTED, type Fault, type SeatedAmphora } from '@octavia/domain';
import { ATTR } from '@octavia/service';
import { type Context, callOf, endpointOf } from '../world.ts';
import { fenceAmphora, mayHoldVip, unlessOutOfReach } from './fence-amphora.ts';
import { giveUpAmphora } from './give-up-amphora.ts';

/** How long an agent may keep from answering before its whole amphora counts as broken, in milliseconds: about as long as heartbeats may. */
const PATIENCE_MS = 5_000;
/** Between two tries, in milliseconds. */
const PAUSE_MS = 250;

/**
 * Makes certain that the amphora does not answer for the load balancer any more. One that serves nobody else is isolated for good. From
 * one that is shared the load balancer is taken away, and the others serve on; when its agent does not do that the whole amphora is
 * broken: it is isolated, and the others are moved. Returns who has confirmed it where no driver could. @throws NotIsolated
 */
export async function isolate(amphora: SeatedAmphora, context: Context): Promise<FenceConfirmation | null> {
  if (await closeIfAlone(amphora, context)) return fenceAmphora(amphora, context);
  const outcome = await leaveInTime(amphora, context);
  if (outcome === 'LEFT') return null;
  // Whoever found it broken before has seen to the others.
  if (outcome === 'STUCK') await context.transaction((tx) => giveUpAmphora(tx, amphora.id, UNREACHABLE, context));
  return fenceAmphora(amphora, context);
}

const UNREACHABLE: Fault = {
  reason: 'AMPHORA_UNREACHABLE',
  message: 'Its agent did not take a load balancer off it, so it is isolated, and all that it serves is moved.',
};

/** Whether no other load balancer is on the amphora, and none gets there any more. */
export async function closeIfAlone(
  { id: amphoraId, loadBalancerId, seatLimit }: SeatedAmphora,
  { transaction, seats }: Context,
): Promise<boolean> {
  return seatLimit === 1 || (await transaction((tx) => seats.closeIfAlone(tx, { amphoraId, loadBalancerId })));
}

/** STUCK: the agent has not done it. One whose amphora is known to be BROKEN is not even asked. */
async function leaveInTime(amphora: SeatedAmphora, context: Context): Promise<'LEFT' | 'BROKEN' | 'STUCK'> {
  const { amphorae, reader, signal, log } = context;
  const limit = AbortSignal.timeout(PATIENCE_MS);
  const limited = { ...context, signal: AbortSignal.any([signal, limit]) };
  for (;;) {
    const { status, fault } = await amphorae.get(reader, amphora.id);
    const isBroken = fault !== null && fault.reason !== FAILOVER_REQUESTED;
    if (status !== 'ALLOCATED' || isBroken) return 'BROKEN';
    try {
      await leave(amphora, limited);
      return 'LEFT';
    } catch (error) {
      signal.throwIfAborted();
      if (!limit.aborted && !(error instanceof DomainError && error.kind === 'unavailable')) throw error;
      log.warn({ [ATTR.AMPHORA_ID]: amphora.id, err: error }, 'shared amphora does not let a load balancer go');
      if (limit.aborted) return 'STUCK';
      await sleep(PAUSE_MS, undefined, { signal: limited.signal }).catch(() => {});
    }
  }
}

/** The same, and nothing of it is left there: also where the amphora as a whole had to be isolated. @throws NotIsolated */
export async function takeOff(amphora: SeatedAmphora, context: Context): Promise<void> {
  const { id: amphoraId, loadBalancerId } = amphora;
  const confirmation = await isolate(amphora, context);
  const unplug = (within: Context) => within.network.unplugVip({ loadBalancerId, amphoraId }, callOf(within));
  await (confirmation ? unlessOutOfReach(amphora, context, unplug) : unplug(context));
}

/** Ends what the amphora does for the load balancer, then takes the VIP from it. May be repeated. @throws as the drivers do */
async function leave(amphora: SeatedAmphora, context: Context): Promise<void> {
  const { id: amphoraId, loadBalancerId } = amphora;
  if (mayHoldVip(amphora)) {
    await context.amphora.deleteLoadBalancer(endpointOf(amphora), loadBalancerId, callOf(context));
  }
  await context.network.unplugVip({ loadBalancerId, amphoraId }, callOf(context));
}
