import type { Amphora } from '@octavia/domain';
import { InstanceNotFoundError } from '@octavia/drivers';
import { type Context, callOf } from '../world.ts';

/** The compute id of an amphora, asked for by its own id where an interrupted build did not record it. Null: there is no instance. */
export async function computeIdOf(amphora: Amphora, context: Context): Promise<string | null> {
  if (amphora.computeId !== null) return amphora.computeId;
  try {
    return (await context.compute.get({ amphoraId: amphora.id }, callOf(context))).computeId;
  } catch (error) {
    if (error instanceof InstanceNotFoundError) return null;
    throw error;
  }
}

/** Isolates the amphora for good. @throws FenceNotConfirmed, which is tried again */
export async function fenceAmphora(amphora: Amphora, context: Context): Promise<void> {
  const computeId = await computeIdOf(amphora, context);
  if (computeId !== null) await context.compute.fence(computeId, callOf(context));
}
