import { Amphorae, FenceConfirmations, lastHeartbeats, type Tx } from '@octavia/db';
import type { Amphora as Message } from '@octavia/proto';
import { writeAmphora } from '../translate/amphora.ts';

const amphorae = new Amphorae();
const confirmations = new FenceConfirmations();

/** One amphora with everything that is known of it. @throws NotFound */
export async function readAmphora(tx: Tx, id: string): Promise<Message> {
  const amphora = await amphorae.get(tx, id);
  const heartbeats = await lastHeartbeats(tx, [id]);
  const [confirmation] = await confirmations.among(tx, [id]);
  return writeAmphora(amphora, heartbeats.get(id), confirmation);
}
