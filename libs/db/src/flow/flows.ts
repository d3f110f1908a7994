import { type FlowState, type NewFlow, NotFound } from '@octavia/domain';
import { context, propagation } from '@opentelemetry/api';
import { v7 as uuidv7 } from 'uuid';
import type { Tx } from '../core/database.ts';
import {
  type FlowRecord,
  type FlowRow,
  type StepRecord,
  type StepRow,
  type StopReason,
  toFlowRecord,
  toStepRecord,
} from './flow-row.ts';

/** Channel that says: something may be there to claim. Payload: the turn's key. */
export const FLOW_CHANNEL = 'flow';
/** Channel that says: this flow is asked to stop. Payload: its id. */
export const FLOW_STOP_CHANNEL = 'flow_stop';

/** Flows whose end settles every change of their load balancer that they saw, and asks for a push of the rest. */
const SETTLING = ['load_balancer.create', 'load_balancer.update', 'load_balancer.failover', 'amphora.failover'];
/** The one of them that asks for nothing but the newest configuration, so that waiting for its retry is pointless. */
const PUSH = 'load_balancer.update';

/** Most flows that one listing returns. */
const MAX_LISTED = 1000;

/** Which flows are meant; what is left out does not matter. */
export interface FlowFilter {
  readonly loadBalancerId?: string | null;
  readonly amphoraId?: string | null;
  readonly onlyOpen?: boolean;
  readonly state?: FlowState | null;
}

/** Flows of one name in one open state. */
export interface FlowCount {
  readonly name: string;
  readonly state: 'QUEUED' | 'RUNNING';
  readonly count: number;
  /** Since the oldest of them was asked for. */
  readonly oldestSeconds: number;
}

/** How services ask for flows, inside the transactions that record why. Stateless. */
export class Flows {
  /**
   * Queues a flow, in a transaction, and asks the flow that has the turn to stop where the new one `stopsOthers`. The trace context of the active
   * span goes with it. It runs once the transaction commits. Returns its id.
   */
  async start(tx: Tx, flow: NewFlow): Promise<string> {
    // They travel together, and run in this order.
    const [, id] = await Promise.all([
      lockTurn(tx, flow.turnKey),
      insert(tx, flow),
      notify(tx, FLOW_CHANNEL, flow.turnKey),
    ]);
    if (flow.stopsOthers) await stopHolder(tx, flow.turnKey, flow.name.endsWith('.delete') ? 'DELETE' : 'FAILOVER');
    return id;
  }

  /**
   * Makes sure that the newest desired revision of the flow's load balancer will be pushed and settled: by a flow that is queued
   * or runs, or by `flow`. A push that waits for its next try is woken. The caller holds the load balancer's row lock, and so
   * does the transaction that ends a flow; hence no change falls between the two. Returns the id of the flow that will do it.
   */
  async ensurePush(tx: Tx, flow: NewFlow): Promise<string> {
    const [, open] = await Promise.all([
      lockTurn(tx, flow.turnKey),
      tx.query<{ id: string; name: string; state: string }[]>(
        `SELECT id, name, state FROM flow WHERE turn_key = $1 AND state IN ('QUEUED', 'RUNNING') AND name = ANY ($2)
         ORDER BY state = 'RUNNING' DESC, priority, id`,
        [flow.turnKey, SETTLING],
      ),
    ]);
    const waiting = open.find(({ name, state }) => name === PUSH && state === 'QUEUED');
    const first = waiting ?? open[0];
    const [id] = await Promise.all([
      first?.id ?? insert(tx, flow),
      waiting && runNow(tx, waiting.id),
      notify(tx, FLOW_CHANNEL, flow.turnKey),
    ]);
    return id;
  }

  /** Asks a flow to stop: it undoes what it did and ends CANCELLED. Returns whether it was still open. */
  async requestStop(tx: Tx, id: string, reason: StopReason = 'CANCELLED'): Promise<boolean> {
    const [row] = await tx.query('SELECT turn_key FROM flow WHERE id = $1', [id]);
    if (!row) throw new NotFound('flow', id);
    await lockTurn(tx, row.turn_key);
    return stop(tx, 'id = $2', reason, id, row.turn_key);
  }

  /** Ends the wait of a flow for its next try. Returns whether it waited. */
  async runNow(tx: Tx, id: string): Promise<boolean> {
    const [row] = await tx.query('SELECT turn_key FROM flow WHERE id = $1', [id]);
    if (!row) throw new NotFound('flow', id);
    await lockTurn(tx, row.turn_key);
    const woken = await runNow(tx, id);
    await notify(tx, FLOW_CHANNEL, row.turn_key);
    return woken;
  }

  /** @throws NotFound */
  async get(tx: Tx, id: string): Promise<FlowRecord> {
    const [row]: FlowRow[] = await tx.query('SELECT * FROM flow WHERE id = $1', [id]);
    if (!row) throw new NotFound('flow', id);
    return toFlowRecord(row);
  }

  /** Steps of a flow that began, first to last. */
  async steps(tx: Tx, id: string): Promise<StepRecord[]> {
    const rows: StepRow[] = await tx.query('SELECT * FROM flow_step WHERE flow_id = $1 ORDER BY position', [id]);
    return rows.map(toStepRecord);
  }

  /** Flows of a turn that are queued or run: why its load balancer has not settled. The one that has the turn comes first. */
  async open(tx: Tx, turnKey: string): Promise<FlowRecord[]> {
    const rows: FlowRow[] = await tx.query(
      `SELECT flow.* FROM flow JOIN turn ON turn.key = flow.turn_key
       WHERE turn_key = $1 AND state IN ('QUEUED', 'RUNNING')
       ORDER BY state = 'RUNNING' DESC, id IS NOT DISTINCT FROM half_done DESC, priority, id LIMIT ${MAX_LISTED}`,
      [turnKey],
    );
    return rows.map(toFlowRecord);
  }

  /** Newest flows first. @param limit 1 to 1000 @param beforeId only those older than this one */
  async list(tx: Tx, filter: FlowFilter, limit: number, beforeId: string | null = null): Promise<FlowRecord[]> {
    const rows: FlowRow[] = await tx.query(
      `SELECT * FROM flow
       WHERE ($1::uuid IS NULL OR load_balancer_id = $1) AND ($2::uuid IS NULL OR amphora_id = $2)
         AND (NOT $3 OR state IN ('QUEUED', 'RUNNING')) AND ($4::text IS NULL OR state = $4)
         AND ($5::uuid IS NULL OR id < $5)
       ORDER BY id DESC LIMIT $6`,
      [
        filter.loadBalancerId ?? null,
        filter.amphoraId ?? null,
        filter.onlyOpen ?? false,
        filter.state ?? null,
        beforeId,
        Math.min(limit, MAX_LISTED),
      ],
    );
    return rows.map(toFlowRecord);
  }

  /** Flows that are open or ended in the last `endedMs`, oldest first; at most 1000 of each. For those who watch. */
  async recent(
    tx: Tx,
    { loadBalancerId = null, amphoraId = null }: Pick<FlowFilter, 'loadBalancerId' | 'amphoraId'>,
    endedMs: number,
  ): Promise<FlowRecord[]> {
    const matches = `($1::uuid IS NULL OR load_balancer_id = $1) AND ($2::uuid IS NULL OR amphora_id = $2)`;
    const rows: FlowRow[] = await tx.query(
      `(SELECT * FROM flow WHERE state IN ('QUEUED', 'RUNNING') AND ${matches} ORDER BY id LIMIT ${MAX_LISTED})
       UNION ALL
       (SELECT * FROM flow WHERE finished_at > clock_timestamp() - $3 * interval '1 ms' AND ${matches}
        ORDER BY finished_at DESC LIMIT ${MAX_LISTED})
       ORDER BY id`,
      [loadBalancerId, amphoraId, endedMs],
    );
    return rows.map(toFlowRecord);
  }

  /** The newest flows that failed, newest first. */
  async failed(tx: Tx, limit: number): Promise<FlowRecord[]> {
    const rows: FlowRow[] = await tx.query(
      `SELECT * FROM flow WHERE state = 'FAILED' ORDER BY finished_at DESC LIMIT $1`,
      [Math.min(limit, MAX_LISTED)],
    );
    return rows.map(toFlowRecord);
  }

  /**
   * The flows that replace or delete an amphora, by itself or with a load balancer that it serves: the newest of each load balancer, and
   * the newest that is of none, oldest first.
   */
  async replacing(
    tx: Tx,
    amphora: { readonly id: string; readonly loadBalancerIds: readonly string[] },
    { onlyOpen }: { readonly onlyOpen: boolean },
  ): Promise<FlowRecord[]> {
    const rows: FlowRow[] = await tx.query(
      `SELECT * FROM (
         SELECT DISTINCT ON (load_balancer_id) * FROM flow
         WHERE (amphora_id = $1 AND name IN ('amphora.failover', 'amphora.delete')
             OR load_balancer_id = ANY ($2) AND name = 'load_balancer.failover')
           AND (NOT $3 OR state IN ('QUEUED', 'RUNNING'))
         ORDER BY load_balancer_id, id DESC) AS newest
       ORDER BY id LIMIT ${MAX_LISTED}`,
      [amphora.id, amphora.loadBalancerIds, onlyOpen],
    );
    return rows.map(toFlowRecord);
  }

  /** How many flows there are in each open state, and how old the oldest of them is, for the gauges. */
  async counts(tx: Tx): Promise<FlowCount[]> {
    return tx.query(
      `SELECT name, state, count(*)::integer AS count,
         extract(epoch FROM clock_timestamp() - min(created_at))::float8 AS "oldestSeconds"
       FROM flow WHERE state IN ('QUEUED', 'RUNNING') GROUP BY name, state`,
    );
  }
}

/**
 * Locks the row by which flows of one key take turns, and makes it when it is not there. Look at the turn and its flows only in
 * statements after this one: their snapshots are newer than the lock.
 */
export async function lockTurn(tx: Tx, key: string): Promise<void> {
  // Inserting locks it too; when another transaction was first, that waits for it and then does no more than lock.
  await tx.query(
    `WITH locked AS (SELECT 1 FROM turn WHERE key = $1 FOR UPDATE)
     INSERT INTO turn (key) SELECT $1 WHERE NOT EXISTS (SELECT 1 FROM locked)
     ON CONFLICT (key) DO UPDATE SET key = excluded.key`,
    [key],
  );
}

export async function notify(tx: Tx, channel: string, payload: string): Promise<void> {
  await tx.query('SELECT pg_notify($1, $2)', [channel, payload]);
}

async function insert(tx: Tx, flow: NewFlow): Promise<string> {
  const id = uuidv7();
  const carrier: { traceparent?: string; tracestate?: string } = {};
  propagation.inject(context.active(), carrier);
  // The deadline counts from when it may run.
  await tx.query(
    `INSERT INTO flow (id, name, version, priority, turn_key, load_balancer_id, amphora_id, project_id, author, request_id,
       input, run_at, deadline_at, traceparent, tracestate)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, clock_timestamp() + $12 * interval '1 ms',
       clock_timestamp() + ($12 + $13) * interval '1 ms', $14, $15)`,
    [
      id,
      flow.name,
      flow.version,
      flow.priority,
      flow.turnKey,
      flow.loadBalancerId,
      flow.amphoraId,
      flow.projectId,
      flow.author,
      flow.requestId,
      JSON.stringify(flow.input),
      flow.delayMs ?? 0,
      flow.deadlineMs,
      carrier.traceparent ?? null,
      carrier.tracestate || null,
    ],
  );
  return id;
}

/** Asks the flow that has the turn to stop: the one that runs, or the half-done one that waits, which is woken for it. */
async function stopHolder(tx: Tx, turnKey: string, reason: StopReason): Promise<void> {
  await stop(tx, `id IN (SELECT coalesce(half_done, holder) FROM turn WHERE key = $2)`, reason, turnKey, turnKey);
}

async function stop(tx: Tx, which: string, reason: StopReason, value: string, turnKey: string): Promise<boolean> {
  const [stopped]: [{ id: string }[], number] = await tx.query(
    `UPDATE flow SET stop_requested = CASE stop_requested WHEN 'FAILOVER' THEN stop_requested ELSE $1 END,
       run_at = least(run_at, clock_timestamp())
     WHERE ${which} AND state IN ('QUEUED', 'RUNNING') RETURNING id`,
    [reason, value],
  );
  for (const { id } of stopped) await notify(tx, FLOW_STOP_CHANNEL, id);
  if (stopped.length > 0) await notify(tx, FLOW_CHANNEL, turnKey);
  return stopped.length > 0;
}

async function runNow(tx: Tx, id: string): Promise<boolean> {
  const [, count]: [unknown, number] = await tx.query(
    `UPDATE flow SET run_at = clock_timestamp() WHERE id = $1 AND state = 'QUEUED' AND run_at > clock_timestamp()`,
    [id],
  );
  return count > 0;
}
