import type { ClaimedFlow } from '@octavia/db';
import type { Json } from '@octavia/domain';
import type { AnyState } from './flow.ts';

/** What a flow knows before its first step: its input, and what it works on. */
export function firstState({ input, loadBalancerId, amphoraId }: ClaimedFlow['flow']): AnyState {
  return {
    ...(isObject(input) ? input : {}),
    ...(loadBalancerId === null ? {} : { loadBalancerId }),
    ...(amphoraId === null ? {} : { amphoraId }),
  };
}

export function isObject(value: Json): value is AnyState {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
