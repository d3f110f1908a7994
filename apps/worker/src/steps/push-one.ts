import { createHash } from 'node:crypto';
import type { Fault, SeatedAmphora } from '@octavia/domain';
import { ConfigurationRefused } from '@octavia/drivers';
import { type Context, callOf, endpointOf } from '../world.ts';

/** The amphora serves it. */
export interface Served {
  readonly kind: 'served';
  readonly ms: number;
  readonly isChanged: boolean;
}

/** What refused a configuration, with its words: the agents' check, or HAProxy at the reload after it had passed that. */
export interface Refused {
  readonly by: 'check' | 'reload';
  readonly fault: Fault;
}

/** How the push to one amphora ended. */
export type Outcome =
  | Served
  | ({ readonly kind: 'refused' } & Refused)
  | { readonly kind: 'unreachable'; readonly error: unknown };

/** Makes one amphora serve the text; leaves it alone where it does already. */
export async function pushOne(
  amphora: SeatedAmphora,
  text: string,
  loadBalancerId: string,
  context: Context,
): Promise<Outcome> {
  const startedAt = performance.now();
  const endpoint = endpointOf(amphora);
  try {
    const isChanged = !(await serves(amphora, text, loadBalancerId, context));
    if (isChanged) {
      // Unknown from here on: a push that is cut off may leave the text on the amphora and the old one in HAProxy.
      if (amphora.appliedRevision > 0) {
        await context.transaction((tx) =>
          context.seats.update(tx, { amphoraId: amphora.id, loadBalancerId }, { appliedRevision: 0 }),
        );
      }
      await context.amphora.pushHaproxy(endpoint, loadBalancerId, text, callOf(context));
    }
    return { kind: 'served', ms: Math.round(performance.now() - startedAt), isChanged };
  } catch (error) {
    if (error instanceof ConfigurationRefused) {
      const by = error.isAtReload ? 'reload' : 'check';
      return { kind: 'refused', by, fault: { reason: error.reason, message: error.message } };
    }
    return { kind: 'unreachable', error };
  }
}

/** Whether the amphora has that very text, from a push that ended well. */
async function serves(
  amphora: SeatedAmphora,
  text: string,
  loadBalancerId: string,
  context: Context,
): Promise<boolean> {
  if (amphora.appliedRevision === 0) return false;
  const etag = await context.amphora.getHaproxyEtag(endpointOf(amphora), loadBalancerId, callOf(context));
  return etag === createHash('md5').update(text).digest('hex');
}
