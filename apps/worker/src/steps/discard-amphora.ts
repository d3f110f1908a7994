import type { Tx } from '@octavia/db';
import { deleteAmphora } from '@octavia/flows';
import { type Context, requesterOf } from '../world.ts';

/** Marks an amphora for deletion and asks for the flow that does it. Does nothing when that is under way. */
export async function discardAmphora(tx: Tx, amphoraId: string, context: Context): Promise<void> {
  const { amphorae, flows, settings } = context;
  const { status } = await amphorae.get(tx, amphoraId, { lock: true });
  if (status === 'DELETED' || status === 'PENDING_DELETE') return;
  await amphorae.setStatus(tx, amphoraId, 'PENDING_DELETE');
  await flows.start(tx, deleteAmphora(amphoraId, requesterOf(context), { deadlineMs: settings.flowDeadlineMs }));
}
