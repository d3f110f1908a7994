import type { Caller } from '@octavia/domain';
import type { Breaker, ListBreakersRequest, ListBreakersResponse } from '@octavia/proto';
import { requireAdmin } from '../authorize.ts';
import type { Parts } from '../parts.ts';

/** How long the worker may take to answer, in milliseconds: it only looks into its memory. */
const ANSWER_MS = 1_000;
/** Source: the contract. */
const MOST_LISTED = 1_000;

const STATES = ['open', 'half-open', 'closed'];

/** The endpoints outside that the worker keeps away from, and why. */
export async function listBreakers(
  parts: Parts,
  { includeClosed }: ListBreakersRequest,
  caller: Caller,
): Promise<ListBreakersResponse> {
  requireAdmin(caller, 'Reading circuit breakers');
  const all = await breakersOf(parts);
  return { breakers: (includeClosed ? all : all.filter(isNotClosed)).slice(0, MOST_LISTED) };
}

/** Those that rest first; of those, the newest first. @throws as the worker answers, or UNAVAILABLE */
export async function breakersOf({ lookup }: Pick<Parts, 'lookup'>): Promise<readonly Breaker[]> {
  const { breakers } = await lookup.getBreakers({}, { deadlineMs: ANSWER_MS });
  const since = (breaker: Breaker): number => Number(breaker.since ?? 0);
  return breakers.sort((a, b) => STATES.indexOf(a.state) - STATES.indexOf(b.state) || since(b) - since(a));
}

export function isNotClosed({ state }: Breaker): boolean {
  return state !== 'closed';
}
