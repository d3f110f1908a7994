import { createHash } from 'node:crypto';
import { Idempotency, type Tx } from '@octavia/db';
import type { Caller } from '@octavia/domain';

const idempotency = new Idempotency();

/** A call that may be repeated with the id of its request. */
export interface RepeatableCall {
  readonly method: string;
  /** Null: it is not safe to repeat. */
  readonly requestId: string | null;
  /** The serialised request. */
  readonly request: Uint8Array;
  readonly objectId: string;
}

/** Whether the same call was answered before; else notes it. First of all in its transaction. @throws AlreadyExists REQUEST_ID_REUSED */
export async function isRepetition(tx: Tx, call: RepeatableCall, caller: Caller): Promise<boolean> {
  const { method, requestId, request, objectId } = call;
  if (requestId === null) return false;
  const first = await idempotency.claim(tx, {
    projectId: caller.projectId,
    requestId,
    method,
    hash: createHash('sha256').update(request).digest(),
    objectId,
  });
  return first !== null;
}
