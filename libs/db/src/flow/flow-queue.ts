import type { Fault, Json } from '@octavia/domain';
import type { Guard, Tx } from '../core/database.ts';
import type { StopReason } from './flow-row.ts';
import {
  type FlowRecord,
  type FlowRow,
  type StepRecord,
  type StepRow,
  toFlowRecord,
  toStepRecord,
} from './flow-row.ts';
import { FLOW_CHANNEL, lockTurn, notify } from './flows.ts';

/** The right to go on with a flow, until the lease runs out and another worker raises the epoch. */
export interface Lease {
  readonly flowId: string;
  readonly turnKey: string;
  readonly epoch: number;
}

export interface ClaimRequest {
  /** Who holds the lease: shown to operators. */
  readonly worker: string;
  /** How long it holds without renewal, in milliseconds of the database's clock. */
  readonly leaseMs: number;
  /** The flows that this worker has steps for. Others are left for workers of another release. */
  readonly known: readonly { readonly name: string; readonly version: number }[];
  /** Whether only failovers, and what a failover waits for, may be taken: the last free slots are theirs. */
  readonly onlyUrgent: boolean;
}

export interface ClaimedFlow {
  readonly flow: FlowRecord;
  readonly lease: Lease;
  /** Saved steps, first to last. */
  readonly steps: readonly StepRecord[];
  /** Until its deadline, in milliseconds; negative when that has passed. */
  readonly remainingMs: number;
  /** How long it was due before it was claimed, in milliseconds. */
  readonly waitedMs: number;
  /** Since it was asked for, in milliseconds. */
  readonly ageMs: number;
}

/** What became of a lease at its renewal. BUSY: its row is locked just now; ask again soon. */
export interface Renewal {
  readonly flowId: string;
  readonly outcome: 'KEPT' | 'LOST' | 'BUSY';
  readonly stopRequested: StopReason | null;
}

export interface StepRef {
  readonly position: number;
  readonly name: string;
}

/** Another worker has taken the flow over: nothing may be written any more. */
export class LeaseLost extends Error {
  constructor(flowId: string) {
    super(`Flow ${flowId} has been taken over by another worker.`);
    this.name = 'LeaseLost';
  }
}

/** SQLSTATE. */
const DIVISION_BY_ZERO = '22012';

/** A flow is urgent when it is a failover, or is asked to stop because a failover waits for its end. */
const URGENT = `(f.priority <= 0 OR f.stop_requested IS NOT DISTINCT FROM 'FAILOVER')`;

/**
 * Both rows are locked, so PostgreSQL looks at both again once it has them: a turn that was given away meanwhile is passed over.
 * Urgent ones go first over the whole system, then what is half done, then by priority and age. Time in which a flow was due and
 * nobody took it does not count against its deadline. Of several flows of one turn that are picked together the first is chosen.
 */
const CLAIM = `
  WITH picked AS (
    SELECT f.id, f.turn_key, CASE f.state WHEN 'RUNNING' THEN f.lease_expires_at ELSE f.run_at END AS due_at,
      ${URGENT} AS is_urgent, (f.state = 'RUNNING' OR t.half_done IS NOT NULL) AS is_begun, f.priority, f.run_at
    FROM flow f JOIN turn t ON t.key = f.turn_key
    WHERE (f.name, f.version) IN (SELECT * FROM unnest($3::text[], $4::integer[])) AND (NOT $5 OR ${URGENT})
      AND ((f.state = 'QUEUED' AND f.run_at <= now() AND t.holder IS NULL AND (t.half_done IS NULL OR t.half_done = f.id))
        OR (f.state = 'RUNNING' AND f.lease_expires_at <= now()))
    ORDER BY is_urgent DESC, is_begun DESC, f.priority, f.run_at, f.id
    LIMIT $6 FOR UPDATE OF f, t SKIP LOCKED
  ), chosen AS (
    SELECT DISTINCT ON (turn_key) id, turn_key, due_at FROM picked
    ORDER BY turn_key, is_urgent DESC, is_begun DESC, priority, run_at, id
  ), held AS (UPDATE turn SET holder = chosen.id FROM chosen WHERE turn.key = chosen.turn_key)
  UPDATE flow SET state = 'RUNNING', epoch = epoch + 1, lease_owner = $1,
    lease_expires_at = clock_timestamp() + $2 * interval '1 ms', started_at = coalesce(started_at, clock_timestamp()),
    waiting_for = NULL, deadline_at = deadline_at + (clock_timestamp() - chosen.due_at)
  FROM chosen WHERE flow.id = chosen.id
  RETURNING flow.*, extract(epoch FROM flow.deadline_at - clock_timestamp()) * 1000 AS remaining_ms,
    extract(epoch FROM clock_timestamp() - chosen.due_at) * 1000 AS waited_ms,
    extract(epoch FROM clock_timestamp() - flow.created_at) * 1000 AS age_ms`;

/**
 * The worker's side of the queue. Each method is one statement, or says that it wants a transaction; each write says
 * `WHERE epoch = …` and throws LeaseLost when that no longer holds. Stateless.
 */
export class FlowQueue {
  /** Takes the next flow, also one whose worker fell silent. Null: there is none to take now. */
  async claim(tx: Tx, request: ClaimRequest): Promise<ClaimedFlow | null> {
    return (await this.claimSeveral(tx, request, 1))[0] ?? null;
  }

  /** Takes the next flows, each of another turn, `limit` at most. Fewer: there are no more to take now. */
  async claimSeveral(tx: Tx, request: ClaimRequest, limit: number): Promise<ClaimedFlow[]> {
    const [rows]: [(FlowRow & Record<'remaining_ms' | 'waited_ms' | 'age_ms', string>)[], number] = await tx.query(
      CLAIM,
      [
        request.worker,
        request.leaseMs,
        request.known.map(({ name }) => name),
        request.known.map(({ version }) => version),
        request.onlyUrgent,
        limit,
      ],
    );
    const haveRunBefore = rows.filter(({ epoch }) => epoch > 1).map(({ id }) => id);
    const steps: (StepRow & { flow_id: string })[] =
      haveRunBefore.length > 0
        ? await tx.query('SELECT * FROM flow_step WHERE flow_id = ANY ($1) ORDER BY position', [haveRunBefore])
        : [];
    return rows.map((row) => ({
      flow: toFlowRecord(row),
      lease: { flowId: row.id, turnKey: row.turn_key, epoch: row.epoch },
      steps: steps.filter(({ flow_id }) => flow_id === row.id).map(toStepRecord),
      remainingMs: Number(row.remaining_ms),
      waitedMs: Number(row.waited_ms),
      ageMs: Number(row.age_ms),
    }));
  }

  /** Milliseconds until a queued flow's time comes or a lease runs out; null: nothing is to come. */
  async nextDue(tx: Tx): Promise<number | null> {
    const [row]: [{ ms: string | null }] = await tx.query(
      `SELECT extract(epoch FROM min(at) - clock_timestamp()) * 1000 AS ms FROM (
         SELECT min(run_at) AS at FROM flow WHERE state = 'QUEUED' AND run_at > now()
         UNION ALL SELECT min(lease_expires_at) FROM flow WHERE state = 'RUNNING' AND lease_expires_at > now()) AS times`,
      [],
    );
    return row.ms === null ? null : Math.max(0, Number(row.ms));
  }

  /** Renews leases, and says which are lost and which flows are asked to stop. Never waits for a lock. */
  async renew(tx: Tx, leases: readonly Lease[], leaseMs: number): Promise<Renewal[]> {
    if (leases.length === 0) return [];
    return tx.query(
      `WITH held AS (SELECT * FROM unnest($1::uuid[], $2::integer[]) AS held (id, epoch)),
       free AS (SELECT f.id FROM flow f JOIN held USING (id, epoch) WHERE f.state = 'RUNNING' FOR UPDATE OF f SKIP LOCKED),
       renewed AS (UPDATE flow SET lease_expires_at = clock_timestamp() + $3 * interval '1 ms'
                   FROM free WHERE flow.id = free.id RETURNING flow.id, flow.stop_requested)
       SELECT held.id AS "flowId", coalesce(renewed.stop_requested, f.stop_requested) AS "stopRequested",
         CASE WHEN renewed.id IS NOT NULL THEN 'KEPT' WHEN f.id IS NOT NULL THEN 'BUSY' ELSE 'LOST' END AS outcome
       FROM held LEFT JOIN renewed USING (id)
         LEFT JOIN flow f ON f.id = held.id AND f.epoch = held.epoch AND f.state = 'RUNNING'`,
      [leases.map(({ flowId }) => flowId), leases.map(({ epoch }) => epoch), leaseMs],
    );
  }

  /**
   * Last statement of a step's transaction, sent with its COMMIT: it commits only while the lease is ours. The row stays locked
   * until then. Where the lease is lost it divides by zero, because only an error keeps PostgreSQL from a COMMIT that is on its way.
   */
  guard(lease: Lease): Guard {
    return {
      sql: `SELECT 1 / count(*) FROM (
              SELECT 1 FROM flow WHERE id = $1 AND epoch = $2 AND state = 'RUNNING' FOR NO KEY UPDATE) AS held`,
      values: [lease.flowId, lease.epoch],
      failure: (error) =>
        (error as { code?: string }).code === DIVISION_BY_ZERO ? new LeaseLost(lease.flowId) : error,
    };
  }

  /**
   * From now on nothing else of this turn runs before this flow has ended. In a transaction with `advance`, which guards it. The
   * turn is there while one of its flows runs.
   */
  async markHalfDone(tx: Tx, lease: Lease): Promise<void> {
    await tx.query('UPDATE turn SET half_done = $2 WHERE key = $1', [lease.turnKey, lease.flowId]);
  }

  /** Saves the output of the step that is done, and notes that the next one starts. */
  async advance(
    tx: Tx,
    lease: Lease,
    change: { readonly done?: StepRef & { readonly output: Json }; readonly next?: StepRef },
  ): Promise<void> {
    const { done, next } = change;
    const rows = [
      ...(done ? [{ ...stepOf(done), state: 'DONE', output: done.output }] : []),
      ...(next ? [{ ...stepOf(next), state: 'STARTED', output: null }] : []),
    ];
    await this.#guarded(
      tx,
      lease,
      `WITH owned AS (
         UPDATE flow SET step = coalesce($3, step), attempt = CASE WHEN step = $3 AND NOT $5 THEN attempt + 1 ELSE 1 END,
           waiting_for = NULL
         WHERE id = $1 AND epoch = $2 AND state = 'RUNNING' RETURNING id
       ), saved AS (${saveSteps('$4')}) SELECT id FROM owned`,
      [next?.name ?? null, JSON.stringify(rows), done !== undefined],
    );
  }

  /** Says what the running step waits for. */
  async waitFor(tx: Tx, lease: Lease, text: string): Promise<void> {
    await this.#guarded(
      tx,
      lease,
      `UPDATE flow SET waiting_for = $3 WHERE id = $1 AND epoch = $2 AND state = 'RUNNING' RETURNING id`,
      [text],
    );
  }

  /**
   * Puts the flow back, to try the same step again after `delayMs`, or at once when it is asked to stop. A half-done flow keeps its
   * turn from all others; any other gives it up altogether. Wants a transaction.
   */
  async retryLater(
    tx: Tx,
    lease: Lease,
    retry: { readonly delayMs: number; readonly error: Fault; readonly waitingFor?: string },
  ): Promise<void> {
    await lockTurn(tx, lease.turnKey);
    await this.#guarded(
      tx,
      lease,
      `UPDATE flow SET state = 'QUEUED', lease_owner = NULL, lease_expires_at = NULL, last_error = $4,
         waiting_for = $5,
         run_at = clock_timestamp() + CASE WHEN stop_requested IS NULL THEN $3 ELSE 0 END * interval '1 ms'
       WHERE id = $1 AND epoch = $2 AND state = 'RUNNING' RETURNING id`,
      [Math.round(retry.delayMs), JSON.stringify(retry.error), retry.waitingFor ?? 'the next try'],
    );
    await tx.query(
      `UPDATE flow_step SET last_error = $2 WHERE flow_id = $1
         AND position = (SELECT max(position) FROM flow_step WHERE flow_id = $1)`,
      [lease.flowId, JSON.stringify(retry.error)],
    );
    await tx.query('UPDATE turn SET holder = NULL WHERE key = $1', [lease.turnKey]);
    await notify(tx, FLOW_CHANNEL, lease.turnKey);
  }

  /**
   * Puts the flow back, to begin the same step again when `look` says, or at once when it is asked to stop: it waits its turn for
   * something, and nothing failed. That is no try, and no time that its deadline knows. Its turn is as after `retryLater`. Wants a
   * transaction.
   */
  async comeAgain(
    tx: Tx,
    lease: Lease,
    look: () => Promise<{ readonly delayMs: number; readonly waitingFor: string }>,
  ): Promise<void> {
    await lockTurn(tx, lease.turnKey);
    const { delayMs, waitingFor } = await look();
    await this.#guarded(
      tx,
      lease,
      `WITH owned AS (
         UPDATE flow SET state = 'QUEUED', lease_owner = NULL, lease_expires_at = NULL, waiting_for = $3,
           attempt = greatest(attempt - 1, 0),
           run_at = clock_timestamp() + CASE WHEN stop_requested IS NULL THEN $4 ELSE 0 END * interval '1 ms',
           deadline_at = deadline_at + CASE WHEN stop_requested IS NULL THEN $4 ELSE 0 END * interval '1 ms'
         WHERE id = $1 AND epoch = $2 AND state = 'RUNNING' RETURNING id
       ), seen AS (
         UPDATE flow_step SET attempts = attempts - 1 FROM owned
         WHERE flow_id = owned.id AND flow_step.state = 'STARTED' AND attempts > 0
       ) SELECT id FROM owned`,
      [waitingFor, Math.round(delayMs)],
    );
    await tx.query('UPDATE turn SET holder = NULL WHERE key = $1', [lease.turnKey]);
    await notify(tx, FLOW_CHANNEL, lease.turnKey);
  }

  /** From now on the flow undoes what it did. Keeps why. */
  async turnBack(tx: Tx, lease: Lease, error: Fault | null): Promise<void> {
    await this.#guarded(
      tx,
      lease,
      `UPDATE flow SET direction = 'UNDO', last_error = coalesce($3::jsonb, last_error), waiting_for = NULL
       WHERE id = $1 AND epoch = $2 AND state = 'RUNNING' RETURNING id`,
      [error && JSON.stringify(error)],
    );
  }

  /** Notes that a step is undone, or that its undo failed for good and housekeeping gets the rest. */
  async undone(tx: Tx, lease: Lease, step: StepRef, error: Fault | null): Promise<void> {
    await this.#guarded(
      tx,
      lease,
      `WITH owned AS (
         UPDATE flow SET step = $4, waiting_for = NULL WHERE id = $1 AND epoch = $2 AND state = 'RUNNING' RETURNING id
       ), saved AS (
         UPDATE flow_step SET state = 'UNDONE', last_error = coalesce($5::jsonb, last_error), finished_at = clock_timestamp()
         FROM owned WHERE flow_id = owned.id AND position = $3
       ) SELECT id FROM owned`,
      [step.position, step.name, error && JSON.stringify(error)],
    );
  }

  /**
   * Ends the flow, with the output of its last step, and gives its turn up. Wants a transaction, in which the statuses are settled
   * first (lock order: load balancer, children, quota, turn, flow) and the next push is asked for after.
   */
  async finish(
    tx: Tx,
    lease: Lease,
    end: { readonly state: 'SUCCEEDED' | 'FAILED' | 'CANCELLED'; readonly done?: StepRef & { readonly output: Json } },
  ): Promise<void> {
    const rows = end.done ? [{ ...stepOf(end.done), state: 'DONE', output: end.done.output }] : [];
    // They travel together. The first takes the turn's lock, so the last sees every flow that was queued before.
    await Promise.all([
      tx.query('UPDATE turn SET holder = NULL, half_done = nullif(half_done, $2) WHERE key = $1', [
        lease.turnKey,
        lease.flowId,
      ]),
      this.#guarded(
        tx,
        lease,
        `WITH owned AS (
           UPDATE flow SET state = $3, finished_at = clock_timestamp(), lease_owner = NULL, lease_expires_at = NULL,
             waiting_for = NULL
           WHERE id = $1 AND epoch = $2 AND state = 'RUNNING' RETURNING id
         ), saved AS (${saveSteps('$4')}) SELECT id FROM owned`,
        [end.state, JSON.stringify(rows)],
      ),
      tx.query(
        `SELECT pg_notify($2, $1::text) WHERE EXISTS (SELECT 1 FROM flow WHERE turn_key = $1::uuid AND state = 'QUEUED')`,
        [lease.turnKey, FLOW_CHANNEL],
      ),
    ]);
  }

  /** Lets the lease run out now, so that another worker goes on at once. Nothing happens when it is no longer ours. */
  async release(tx: Tx, lease: Lease): Promise<void> {
    await tx.query(
      `WITH released AS (UPDATE flow SET lease_expires_at = clock_timestamp()
                         WHERE id = $1 AND epoch = $2 AND state = 'RUNNING' RETURNING turn_key)
       SELECT pg_notify('${FLOW_CHANNEL}', turn_key::text) FROM released`,
      [lease.flowId, lease.epoch],
    );
  }

  async #guarded(tx: Tx, lease: Lease, sql: string, values: readonly unknown[]): Promise<void> {
    const result = await tx.query(sql, [lease.flowId, lease.epoch, ...values]);
    // An UPDATE gives [rows, count], a SELECT rows.
    const rows = Array.isArray(result[0]) ? result[0] : result;
    if (rows.length === 0) throw new LeaseLost(lease.flowId);
  }
}

/** Of the flow in CTE `owned`, the steps in the JSON of a parameter. */
function saveSteps(parameter: string): string {
  return `
    INSERT INTO flow_step (flow_id, position, name, state, output, finished_at)
    SELECT owned.id, row.position, row.name, row.state, row.output,
      CASE row.state WHEN 'DONE' THEN clock_timestamp() END
    FROM owned, jsonb_to_recordset(${parameter}::jsonb) AS row (position integer, name text, state text, output jsonb)
    ON CONFLICT (flow_id, position) DO UPDATE SET state = excluded.state, output = excluded.output,
      finished_at = excluded.finished_at, last_error = NULL,
      attempts = flow_step.attempts + (excluded.state = 'STARTED')::integer`;
}

function stepOf({ position, name }: StepRef): StepRef {
  return { position, name };
}
