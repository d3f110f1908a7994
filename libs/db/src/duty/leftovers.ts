import type { SeatKey } from '../amphora/index.ts';
import type { Tx } from '../core/database.ts';

/** An amphora that nobody takes care of any more. */
export interface Leftover {
  readonly id: string;
  readonly projectId: string;
}

/** A load balancer that waits for a flow that is not there. */
export interface Stranded {
  readonly id: string;
  readonly projectId: string;
  readonly provisioningStatus: 'PENDING_CREATE' | 'PENDING_UPDATE' | 'PENDING_DELETE';
}

/** Found in one round, at most: the next round finds the rest. */
const BATCH = 100;
/** Delay after a failed deletion: doubled with each, from 5 s up to 10 minutes. */
const DELETE_WAIT = `least(5 * power(2, least(failed.count, 20) - 1), 600) * interval '1 s'`;

/** No flow of the amphora, and none of its load balancers, is queued or runs: each has one of these turns. Two conditions, as each has its index. */
const NO_FLOW = `NOT EXISTS (SELECT 1 FROM flow AS f WHERE f.state IN ('QUEUED', 'RUNNING') AND f.turn_key = a.id)
  AND NOT EXISTS (SELECT 1 FROM seat AS own JOIN flow AS f ON f.turn_key = own.load_balancer_id
                   WHERE own.amphora_id = a.id AND own.state <> 'LEFT' AND f.state IN ('QUEUED', 'RUNNING'))`;

/** A seat `s` that is to be left on an amphora `a` that lives on for others. */
const IS_LEAVING = `s.state = 'LEAVING' AND a.status = 'ALLOCATED'`;

/** Finds what should be under way and is not: the safety net below the flows. */
export class Leftovers {
  /**
   * Amphorae to delete without a flow that does: marked for deletion, failed builds that serve nothing, failed deletions, and
   * builds that nobody works on. A deletion that failed comes again after a growing wait.
   */
  async amphorae(tx: Tx): Promise<Leftover[]> {
    return tx.query(
      `SELECT a.id, a.project_id AS "projectId"
         FROM amphora AS a
         CROSS JOIN LATERAL (
           SELECT count(*) AS count, max(finished_at) AS at FROM flow
            WHERE amphora_id = a.id AND name = 'amphora.delete' AND state IN ('FAILED', 'CANCELLED')) AS failed
        WHERE a.deleted_at IS NULL AND ${ABANDONED} AND ${NO_FLOW}
          AND (failed.count = 0 OR failed.at + ${DELETE_WAIT} < clock_timestamp())
        ORDER BY a.id LIMIT ${BATCH}`,
    );
  }

  /** Locks the amphora and marks it for deletion, if it is still abandoned. */
  async take(tx: Tx, id: string): Promise<boolean> {
    await tx.query('SELECT 1 FROM amphora WHERE id = $1 FOR UPDATE', [id]);
    const [rows] = await tx.query(
      `UPDATE amphora AS a SET status = 'PENDING_DELETE', updated_at = now()
        WHERE a.id = $1 AND a.deleted_at IS NULL AND ${ABANDONED} AND ${NO_FLOW} RETURNING a.id`,
      [id],
    );
    return rows.length > 0;
  }

  /** Seats that load balancers are to leave while no flow sees to it. */
  async seats(tx: Tx): Promise<(SeatKey & Pick<Leftover, 'projectId'>)[]> {
    return tx.query(
      `SELECT s.amphora_id AS "amphoraId", s.load_balancer_id AS "loadBalancerId", a.project_id AS "projectId"
         FROM seat AS s JOIN amphora AS a ON a.id = s.amphora_id
        WHERE ${IS_LEAVING} AND ${NO_FLOW} ORDER BY a.id LIMIT ${BATCH}`,
    );
  }

  /** Locks the amphora and looks again. */
  async isLeaving(tx: Tx, { amphoraId, loadBalancerId }: SeatKey): Promise<boolean> {
    await tx.query('SELECT 1 FROM amphora WHERE id = $1 FOR UPDATE', [amphoraId]);
    const rows = await tx.query(
      `SELECT 1 FROM seat AS s JOIN amphora AS a ON a.id = s.amphora_id
        WHERE a.id = $1 AND s.load_balancer_id = $2 AND ${IS_LEAVING} AND ${NO_FLOW}`,
      [amphoraId, loadBalancerId],
    );
    return rows.length > 0;
  }

  /** Load balancers that are pending while no flow of theirs is queued or runs. */
  async loadBalancers(tx: Tx): Promise<string[]> {
    const rows: { id: string }[] = await tx.query(
      `SELECT lb.id FROM load_balancer AS lb WHERE lb.provisioning_status LIKE 'PENDING%' AND ${NO_LB_FLOW}
        ORDER BY lb.id LIMIT ${BATCH}`,
    );
    return rows.map((row) => row.id);
  }

  /** Locks the load balancer and looks again. Null: it is taken care of. */
  async lockStranded(tx: Tx, id: string): Promise<Stranded | null> {
    await tx.query('SELECT 1 FROM load_balancer WHERE id = $1 FOR UPDATE', [id]);
    const [row] = await tx.query(
      `SELECT lb.id, lb.project_id AS "projectId", lb.provisioning_status AS "provisioningStatus" FROM load_balancer AS lb
        WHERE lb.id = $1 AND lb.provisioning_status LIKE 'PENDING%' AND ${NO_LB_FLOW}`,
      [id],
    );
    return row ?? null;
  }
}

/** A build is written together with its flow, so one without a flow is over; the minute is for clocks and readers. */
const ABANDONED = `(a.status = 'PENDING_DELETE'
  OR a.status = 'ERROR' AND (a.seats_taken = 0
    OR EXISTS (SELECT 1 FROM flow WHERE flow.amphora_id = a.id AND flow.name = 'amphora.delete'))
  OR a.status = 'BOOTING' AND coalesce(a.updated_at, a.created_at) < now() - interval '1 minute')`;

const NO_LB_FLOW = `NOT EXISTS (SELECT 1 FROM flow AS f WHERE f.load_balancer_id = lb.id AND f.state IN ('QUEUED', 'RUNNING'))`;
