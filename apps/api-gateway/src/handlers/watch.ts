import { EVENT_CHANNEL } from '@octavia/db';
import { NotFound } from '@octavia/domain';
import { LoadBalancer, type WatchLoadBalancerRequest } from '@octavia/proto';
import type { StreamContext } from '@octavia/service';
import { readScope } from '../authorize.ts';
import { readId } from '../check/violations.ts';
import type { Parts } from '../parts.ts';
import { WakeUp } from '../wake-up.ts';

/** A notification may be lost, and progress inside of a flow has none: look this often, in milliseconds. */
const POLL_MS = 1_000;

/** Sends the newest state at once and whenever it differs from what was sent, until it is DELETED or the caller hangs up. */
export async function watchLoadBalancer(
  { db, replies }: Parts,
  request: WatchLoadBalancerRequest,
  { caller, signal, send }: StreamContext<LoadBalancer>,
): Promise<void> {
  const scope = readScope(caller, 'Watching');
  const id = readId('id', request.id);
  const wakeUp = new WakeUp(signal);
  const unlisten = await db.notifications.listen(EVENT_CHANNEL, (payload) => {
    if (payload === null || payload === id) wakeUp.ring();
  });
  try {
    let sent = Buffer.alloc(0);
    for (let isFirst = true; !signal.aborted; isFirst = false) {
      // What happens from here on rings again: nothing is missed between reading and waiting.
      wakeUp.reset();
      const newest = await replies.one(db.reader, 'load_balancer', id, scope, { deleted: !isFirst }).catch((error) => {
        // Purged a while after it was DELETED: the caller was told.
        if (error instanceof NotFound && !isFirst) return null;
        throw error;
      });
      if (newest === null) return;
      const encoded = Buffer.from(LoadBalancer.encode(newest).finish());
      if (!encoded.equals(sent)) await send(newest);
      sent = encoded;
      if (newest.provisioningStatus === 'PROVISIONING_STATUS_DELETED') return;
      await wakeUp.wait(POLL_MS);
    }
  } finally {
    unlisten();
  }
}
