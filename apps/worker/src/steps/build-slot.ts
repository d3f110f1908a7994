import type { Tx } from '@octavia/db';
import { nextLookMs } from '@octavia/db';
import { ComeAgain } from '../engine/flow.ts';
import type { Context } from '../world.ts';

/**
 * Takes build slots for those of the amphorae that are to be built, one for each. Null: the flow has them, or there is no limit. Else
 * the flow goes back into the queue, where it holds no worker up; it is called when its turn in the line has come.
 */
export async function takeBuildSlots(amphoraIds: readonly string[], context: Context): Promise<ComeAgain | null> {
  const { buildSlots, amphorae, transaction, settings, flow } = context;
  const limit = settings.buildSlots;
  if (limit === null) return null;
  const { place, slots } = await transaction(async (tx) => {
    const all = await Promise.all(amphoraIds.map((id) => amphorae.get(tx, id)));
    const count = all.filter(({ status }) => status === 'BOOTING').length;
    if (count === 0) return { place: 0, slots: 0 };
    const request = { flowId: flow.id, priority: flow.priority, slots: count };
    return { place: (await buildSlots.take(tx, request, limit)).place, slots: count };
  });
  if (place === 0) return null;
  // It looks again in the transaction that puts it back: a slot that comes free before that would be missed.
  return new ComeAgain(async (tx) => {
    const now = await buildSlots.take(tx, { flowId: flow.id, priority: flow.priority, slots }, limit);
    return now.place === 0
      ? { delayMs: 0, waitingFor: 'a worker, with its build slot' }
      : {
          delayMs: nextLookMs(now.place),
          waitingFor: `a build slot: place ${now.place} in the line, ${now.used} of ${limit} in use`,
        };
  });
}

/** Gives the flow's build slots, or its place in the line, to those who wait. Does nothing when it has none. */
export async function releaseBuildSlots(tx: Tx, { buildSlots, settings, flow }: Context): Promise<void> {
  if (settings.buildSlots !== null) await buildSlots.release(tx, flow.id, settings.buildSlots);
}
