import { DomainError, type Machine } from '@octavia/domain';
import { type Context, callOf, endpointOf } from '../world.ts';

/** How long an amphora that is up may take to answer, in milliseconds. A live one answers in a few. */
const ANSWERS_WITHIN_MS = 1_500;

/** Whether the agent answers at once. @throws what is neither silence nor trouble on the way */
export async function answers(amphora: Machine, context: Context, withinMs = ANSWERS_WITHIN_MS): Promise<boolean> {
  if (amphora.lbNetworkIp === null) return false;
  const limit = AbortSignal.timeout(withinMs);
  const signal = AbortSignal.any([limit, context.signal]);
  try {
    await context.amphora.getFacts(endpointOf(amphora), { ...callOf(context), signal });
    return true;
  } catch (error) {
    if (context.signal.aborted) throw error;
    if (limit.aborted || (error instanceof DomainError && error.kind === 'unavailable')) return false;
    throw error;
  }
}
