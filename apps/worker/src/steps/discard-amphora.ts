import type { SeatKey, Tx } from '@octavia/db';
import { deleteAmphora, vacateAmphora } from '@octavia/flows';
import { type Context, requesterOf } from '../world.ts';

/** Marks an amphora for deletion and asks for the flow that does it. Does nothing when that is under way. */
export async function discardAmphora(tx: Tx, amphoraId: string, context: Context): Promise<void> {
  const { amphorae, flows, settings } = context;
  const { status } = await amphorae.get(tx, amphoraId, { lock: true });
  if (status === 'DELETED' || status === 'PENDING_DELETE') return;
  await amphorae.setStatus(tx, amphoraId, 'PENDING_DELETE');
  await flows.start(tx, deleteAmphora(amphoraId, requesterOf(context), { deadlineMs: settings.flowDeadlineMs }));
}

/** The same for what a load balancer does not need any more: an amphora that serves others goes on, without it. */
export async function discardSeat(tx: Tx, key: SeatKey, context: Context): Promise<void> {
  const { amphorae, seats, flows, settings } = context;
  const { amphoraId, loadBalancerId } = key;
  const { status, seats: all } = await amphorae.get(tx, amphoraId, { lock: true });
  if (status === 'DELETED' || status === 'PENDING_DELETE') return;
  const isShared = all.some((seat) => seat.loadBalancerId !== loadBalancerId && seat.state === 'TAKEN');
  if (!isShared) return discardAmphora(tx, amphoraId, context);
  const own = all.find((seat) => seat.loadBalancerId === loadBalancerId);
  if (own?.state !== 'TAKEN') return;
  await seats.leave(tx, key);
  const options = { deadlineMs: settings.flowDeadlineMs };
  await flows.start(tx, vacateAmphora(amphoraId, loadBalancerId, requesterOf(context), options));
}

/** Nothing of the load balancer is on the amphora any more. The amphora goes with the last one. */
export async function recordLeft(tx: Tx, key: SeatKey, context: Context): Promise<void> {
  const { status } = await context.amphorae.get(tx, key.amphoraId, { lock: true });
  if (status === 'DELETED') return;
  const count = await context.seats.left(tx, key);
  if (count === 0) await discardAmphora(tx, key.amphoraId, context);
}
