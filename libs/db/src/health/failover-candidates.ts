import type { Fault, ProvisioningStatus } from '@octavia/domain';
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

/** An amphora that may be failed over; its load balancer's row is locked. */
export interface FailoverCandidate {
  readonly amphoraId: string;
  readonly loadBalancerId: string;
  readonly projectId: string;
  readonly provisioningStatus: ProvisioningStatus;
  /** Reason of the amphora's fault, if it has one. */
  readonly faultReason: string | null;
}

/** Tries that are looked at: beyond them the delay has reached its limit anyway. */
const TRIES_LOOKED_AT = 10;

/** Reads and marks of amphorae that fell silent. */
export class FailoverCandidates {
  /**
   * Locks the load balancer of an amphora, then the amphora. GONE: it serves nothing any more, or its load balancer is being
   * deleted. HANDLED: a failover of the amphora or of its load balancer is queued or runs. NEXT: one of another amphora is queued or
   * runs; one at a time, because a second would stop the first half-way.
   */
  async lock(tx: Tx, amphoraId: string): Promise<FailoverCandidate | 'GONE' | 'HANDLED' | 'NEXT'> {
    const [lb] = await tx.query(
      `SELECT id, project_id, provisioning_status FROM load_balancer
        WHERE id = (SELECT load_balancer_id FROM amphora WHERE id = $1) FOR UPDATE`,
      [amphoraId],
    );
    if (!lb || ['PENDING_DELETE', 'DELETED'].includes(lb.provisioning_status)) return 'GONE';
    // A statement of its own, so that it sees what was committed while we waited for the lock.
    const [amphora] = await tx.query(
      `SELECT fault_reason,
              (SELECT coalesce(bool_or(f.name = 'load_balancer.failover' OR f.amphora_id = a.id), false) FROM flow AS f
                WHERE f.load_balancer_id = a.load_balancer_id AND f.state IN ('QUEUED', 'RUNNING')
                  AND f.name IN ('amphora.failover', 'load_balancer.failover')
               HAVING count(*) > 0) AS is_handled
         FROM amphora AS a WHERE a.id = $1 AND a.load_balancer_id = $2 AND a.status = 'ALLOCATED' FOR UPDATE OF a`,
      [amphoraId, lb.id],
    );
    if (!amphora) return 'GONE';
    if (amphora.is_handled !== null) return amphora.is_handled ? 'HANDLED' : 'NEXT';
    return {
      amphoraId,
      loadBalancerId: lb.id,
      projectId: lb.project_id,
      provisioningStatus: lb.provisioning_status,
      faultReason: amphora.fault_reason,
    };
  }

  /** The newest ended failovers of an amphora, newest first. */
  async triesOfAmphora(tx: Tx, amphoraId: string): Promise<FailoverTry[]> {
    return this.#tries(tx, 'amphora_id', amphoraId);
  }

  /** The newest ended failovers of the amphorae of a load balancer, newest first. */
  async triesOfLoadBalancer(tx: Tx, loadBalancerId: string): Promise<FailoverTry[]> {
    return this.#tries(tx, 'load_balancer_id', loadBalancerId);
  }

  /** Notes why an amphora is to be replaced. */
  async setFault(tx: Tx, amphoraId: string, fault: Fault): Promise<void> {
    await tx.query('UPDATE amphora SET fault_reason = $2, fault_message = $3, updated_at = now() WHERE id = $1', [
      amphoraId,
      fault.reason,
      fault.message,
    ]);
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

  async #tries(tx: Tx, column: 'amphora_id' | 'load_balancer_id', id: string): Promise<FailoverTry[]> {
    return tx.query(
      `SELECT state, (extract(epoch FROM clock_timestamp() - finished_at) * 1000)::float8 AS "endedMs",
              last_error ->> 'reason' AS reason,
              EXISTS (SELECT 1 FROM fence_confirmation AS c
                       WHERE c.amphora_id = flow.amphora_id AND c.confirmed_at > flow.finished_at) AS "isConfirmedSince"
         FROM flow WHERE ${column} = $1 AND name = 'amphora.failover' AND finished_at IS NOT NULL
        ORDER BY finished_at DESC LIMIT ${TRIES_LOOKED_AT}`,
      [id],
    );
  }
}
