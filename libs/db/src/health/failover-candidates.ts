import type { Fault, ProvisioningStatus } from '@octavia/domain';
import type { SeatKey } from '../amphora/index.ts';
import type { Tx } from '../core/database.ts';

/** A failover that was tried for an amphora. */
export interface FailoverTry {
  readonly state: 'SUCCEEDED' | 'FAILED' | 'CANCELLED';
  /** Milliseconds since it ended, by the database's clock. */
  readonly endedMs: number;
  /** Reason of its last error; null when it had none. */
  readonly reason: string | null;
  /** Whether a person has confirmed since then that the amphora is isolated. */
  readonly isConfirmedSince: boolean;
}

/** A load balancer that may be moved from its amphora. */
export interface FailoverCandidate extends SeatKey {
  readonly projectId: string;
  readonly provisioningStatus: ProvisioningStatus;
  /**
   * FREE: it may. HANDLED: a failover of it from this amphora, or of all its amphorae, is queued or runs. NEXT: one from another amphora is
   * queued or runs; one at a time, because a second would stop the first half-way.
   */
  readonly state: 'FREE' | 'HANDLED' | 'NEXT';
  /** Reason of the amphora's fault, or of this seat's, if there is one. */
  readonly faultReason: string | null;
}

/** Tries that are looked at: beyond them the delay has reached its limit anyway. */
const TRIES_LOOKED_AT = 10;

/** Reads and marks of amphorae that fell silent, or are out of order. */
export class FailoverCandidates {
  /**
   * Locks the load balancers that an amphora serves, then the amphora, and tells of each whether it may be moved. Those that are being
   * deleted are left out, and one that got its seat at this moment is found the next time. None: it serves nothing.
   */
  async lock(tx: Tx, amphoraId: string): Promise<FailoverCandidate[]> {
    const locked: { id: string }[] = await tx.query(
      `SELECT id FROM load_balancer
        WHERE id IN (SELECT load_balancer_id FROM seat WHERE amphora_id = $1 AND state = 'TAKEN')
          AND provisioning_status NOT IN ('PENDING_DELETE', 'DELETED')
        ORDER BY id FOR UPDATE`,
      [amphoraId],
    );
    if (locked.length === 0) return [];
    await tx.query('SELECT 1 FROM amphora WHERE id = $1 FOR UPDATE', [amphoraId]);
    // A statement of its own, so that it sees what was committed while we waited for the locks.
    return tx.query(
      `SELECT s.amphora_id AS "amphoraId", s.load_balancer_id AS "loadBalancerId", lb.project_id AS "projectId",
              lb.provisioning_status AS "provisioningStatus", coalesce(s.fault_reason, a.fault_reason) AS "faultReason",
              coalesce((SELECT CASE WHEN bool_or(f.name = 'load_balancer.failover' OR f.amphora_id = a.id) THEN 'HANDLED'
                               ELSE 'NEXT' END
                          FROM flow AS f
                         WHERE f.load_balancer_id = s.load_balancer_id AND f.state IN ('QUEUED', 'RUNNING')
                           AND f.name IN ('amphora.failover', 'load_balancer.failover')
                        HAVING count(*) > 0), 'FREE') AS state
         FROM seat AS s JOIN amphora AS a ON a.id = s.amphora_id JOIN load_balancer AS lb ON lb.id = s.load_balancer_id
        WHERE s.amphora_id = $1 AND s.state = 'TAKEN' AND a.status = 'ALLOCATED' AND s.load_balancer_id = ANY ($2)
        ORDER BY s.load_balancer_id`,
      [amphoraId, locked.map(({ id }) => id)],
    );
  }

  /** The newest ended failovers of a load balancer from an amphora, newest first. */
  async triesOf(tx: Tx, { amphoraId, loadBalancerId }: SeatKey): Promise<FailoverTry[]> {
    return this.#tries(tx, loadBalancerId, amphoraId);
  }

  /** The newest ended failovers of the amphorae of a load balancer, newest first. */
  async triesOfLoadBalancer(tx: Tx, loadBalancerId: string): Promise<FailoverTry[]> {
    return this.#tries(tx, loadBalancerId, null);
  }

  /** Notes why an amphora is to be replaced: it gets no further load balancer. */
  async setFault(tx: Tx, amphoraId: string, fault: Fault): Promise<void> {
    await tx.query('UPDATE amphora SET fault_reason = $2, fault_message = $3, updated_at = now() WHERE id = $1', [
      amphoraId,
      fault.reason,
      fault.message,
    ]);
  }

  /** Notes why a load balancer is to leave an amphora that may serve others well. */
  async setSeatFault(tx: Tx, { amphoraId, loadBalancerId }: SeatKey, fault: Fault): Promise<void> {
    await tx.query(
      'UPDATE seat SET fault_reason = $3, fault_message = $4 WHERE amphora_id = $1 AND load_balancer_id = $2',
      [amphoraId, loadBalancerId, fault.reason, fault.message],
    );
  }

  /** Marks a READY amphora for deletion. Returns its project, or null when it is not READY any more: somebody took it. */
  async discardSpare(tx: Tx, amphoraId: string, fault: Fault): Promise<{ projectId: string } | null> {
    const [row] = await tx.query(
      `WITH marked AS (
         UPDATE amphora SET status = 'PENDING_DELETE', fault_reason = $2, fault_message = $3, updated_at = now()
          WHERE id = $1 AND status = 'READY' RETURNING id, project_id)
       SELECT project_id AS "projectId", pg_notify('amphora', id::text) FROM marked`,
      [amphoraId, fault.reason, fault.message],
    );
    return row ? { projectId: row.projectId } : null;
  }

  async #tries(tx: Tx, loadBalancerId: string, amphoraId: string | null): Promise<FailoverTry[]> {
    return tx.query(
      `SELECT state, (extract(epoch FROM clock_timestamp() - finished_at) * 1000)::float8 AS "endedMs",
              last_error ->> 'reason' AS reason,
              EXISTS (SELECT 1 FROM fence_confirmation AS c
                       WHERE c.amphora_id = flow.amphora_id AND c.confirmed_at > flow.finished_at) AS "isConfirmedSince"
         FROM flow WHERE load_balancer_id = $1 AND ($2::uuid IS NULL OR amphora_id = $2) AND name = 'amphora.failover'
          AND finished_at IS NOT NULL
        ORDER BY finished_at DESC LIMIT ${TRIES_LOOKED_AT}`,
      [loadBalancerId, amphoraId],
    );
  }
}
