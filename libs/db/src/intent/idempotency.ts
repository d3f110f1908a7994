import { AlreadyExists } from '@octavia/domain';
import type { Tx } from '../core/database.ts';

export interface IdempotentRequest {
  readonly projectId: string;
  /** UUID that the caller chose. */
  readonly requestId: string;
  /** Full name of the RPC. */
  readonly method: string;
  /** SHA-256 of the serialised request. */
  readonly hash: Buffer;
  /** Id of the object that the request makes or changes. */
  readonly objectId: string;
}

/** What makes repeating a request safe. */
export class Idempotency {
  /**
   * Claims the request id; call it first of all in the transaction. A twin that is under way is waited for. Returns null for
   * the first request, and for a repetition the id of the object that the first one made or changed.
   * @throws AlreadyExists REQUEST_ID_REUSED
   */
  async claim(tx: Tx, request: IdempotentRequest): Promise<string | null> {
    const { projectId, requestId, method, hash, objectId } = request;
    const claimed = await tx.query(
      `INSERT INTO idempotency_record (project_id, request_id, method, request_hash, object_id) VALUES ($1, $2, $3, $4, $5)
       ON CONFLICT (project_id, request_id) DO NOTHING RETURNING object_id`,
      [projectId, requestId, method, hash, objectId],
    );
    if (claimed.length > 0) return null;
    const [first] = await tx.query(
      'SELECT method, request_hash, object_id FROM idempotency_record WHERE project_id = $1 AND request_id = $2',
      [projectId, requestId],
    );
    // Purged in this instant, after a day: as good as never seen.
    if (!first) return this.claim(tx, request);
    if (first.method !== method || !hash.equals(first.request_hash)) {
      throw new AlreadyExists(
        'REQUEST_ID_REUSED',
        `Request id ${requestId} was used for another request. Choose a new UUID for each request.`,
        { requestId },
      );
    }
    return first.object_id;
  }
}
