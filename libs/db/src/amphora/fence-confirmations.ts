import type { Tx } from '../core/database.ts';
import { lastHeartbeats } from '../intent/overview.ts';

/** Who has made sure that an amphora is isolated. */
export interface FenceConfirmation {
  readonly amphoraId: string;
  readonly author: string;
  readonly requestId: string;
  readonly confirmedAt: Date;
}

/** Heartbeats are known to the second, and those under way when it was confirmed prove nothing. In milliseconds. */
const HEARD_AFTER_MS = 5_000;

/** What persons have confirmed where no driver can: that an amphora is isolated. Stateless. */
export class FenceConfirmations {
  /** Keeps who said it. The newest counts: what was said before the amphora was heard again is void. */
  async confirm(tx: Tx, { amphoraId, author, requestId }: Omit<FenceConfirmation, 'confirmedAt'>): Promise<void> {
    await tx.query(
      `INSERT INTO fence_confirmation (amphora_id, author, request_id) VALUES ($1, $2, $3)
       ON CONFLICT (amphora_id) DO UPDATE SET author = excluded.author, request_id = excluded.request_id,
         confirmed_at = clock_timestamp()`,
      [amphoraId, author, requestId],
    );
  }

  /** Whether the amphora was heard within so many milliseconds: then it is not isolated, whoever says so. */
  async isHeard(tx: Tx, amphoraId: string, withinMs: number): Promise<boolean> {
    const heard = (await lastHeartbeats(tx, [amphoraId])).get(amphoraId);
    if (!heard) return false;
    const [row] = await tx.query(`SELECT $1::timestamptz > clock_timestamp() - $2 * interval '1 ms' AS is_fresh`, [
      heard,
      withinMs,
    ]);
    return row.is_fresh;
  }

  /** Those of the amphorae that count as isolated. One that was heard after it was confirmed is not isolated. */
  async among(tx: Tx, amphoraIds: readonly string[]): Promise<FenceConfirmation[]> {
    const found: FenceConfirmation[] = await tx.query(
      `SELECT amphora_id AS "amphoraId", author, request_id AS "requestId", confirmed_at AS "confirmedAt"
         FROM fence_confirmation WHERE amphora_id = ANY ($1)`,
      [amphoraIds],
    );
    return this.#valid(tx, found);
  }

  /** The same of all amphorae that a load balancer has or had. */
  async ofLoadBalancer(tx: Tx, loadBalancerId: string): Promise<FenceConfirmation[]> {
    const found: FenceConfirmation[] = await tx.query(
      `SELECT c.amphora_id AS "amphoraId", c.author, c.request_id AS "requestId", c.confirmed_at AS "confirmedAt"
         FROM fence_confirmation c JOIN seat s ON s.amphora_id = c.amphora_id WHERE s.load_balancer_id = $1`,
      [loadBalancerId],
    );
    return this.#valid(tx, found);
  }

  async #valid(tx: Tx, found: FenceConfirmation[]): Promise<FenceConfirmation[]> {
    if (found.length === 0) return found;
    const heard = await lastHeartbeats(
      tx,
      found.map(({ amphoraId }) => amphoraId),
    );
    return found.filter(({ amphoraId, confirmedAt }) => {
      const heardAt = heard.get(amphoraId);
      return heardAt === undefined || heardAt.getTime() <= confirmedAt.getTime() + HEARD_AFTER_MS;
    });
  }
}
