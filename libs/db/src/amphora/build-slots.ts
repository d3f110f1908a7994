import type { Tx } from '../core/database.ts';
import { FLOW_CHANNEL } from '../flow/flows.ts';

/** Key of the advisory lock under which slots are given and taken back, so that nobody misses a free one; any constant of ours. */
const LINE_LOCK = 7_203_115;
/** Milliseconds after which a waiting flow that is due and that no worker takes is passed over: it must not hold up the line. */
const PASSED_OVER_MS = 2_000;
/** The same for one that has a slot and waits for its next try: its instance is being built, most likely. */
const GIVEN_UP_MS = 30_000;
/** Between two looks of the first in the line, and of those far behind, in milliseconds. They are called when a slot is free. */
const LOOK_MS = { perPlace: 250, min: 1_000, max: 15_000 } as const;

/** A flow that is about to build. */
export interface BuildRequest {
  readonly flowId: string;
  /** The flow's: lower goes first. */
  readonly priority: number;
  /** Builds at once: two of a pair. Where the limit is lower, that many wait for the whole of it. */
  readonly slots: number;
}

/** Where a flow stands in the line for build slots. Place 0: it has its slots. */
export interface BuildPlace {
  readonly place: number;
  /** Slots of others that are in use. */
  readonly used: number;
}

export interface BuildSlotCounts {
  readonly used: number;
  /** Slots that flows in the line want. */
  readonly waiting: number;
}

const isTaken = (ms: number): string =>
  `(f.state = 'RUNNING' AND f.lease_expires_at > clock_timestamp()
    OR f.state = 'QUEUED' AND f.run_at > clock_timestamp() - interval '${ms} ms')`;

/** A slot is the flow's while the flow is alive: its lease is the flow's own, so a dead worker's slots come back with its flows. */
const LIVE = `
  live AS (
    SELECT slot.*, slot.state = 'BUILDING' AND ${isTaken(GIVEN_UP_MS)} AS is_used,
      slot.state = 'WAITING' AND f.direction = 'DO' AND f.stop_requested IS NULL AND ${isTaken(PASSED_OVER_MS)} AS is_waiting
    FROM build_slot AS slot JOIN flow AS f ON f.id = slot.flow_id)`;

/**
 * How many amphorae are built at once, over all workers, and who is next: failovers, then tenants, then spares, each in the order of
 * asking. Stateless.
 */
export class BuildSlots {
  /** Takes slots, or a place in the line. Repeating it does no harm; a flow keeps its place. In a transaction. */
  async take(tx: Tx, request: BuildRequest, limit: number): Promise<BuildPlace> {
    const { flowId, priority } = request;
    const slots = Math.min(request.slots, limit);
    // In a statement of its own: the next one sees what the last holder of the lock wrote.
    const [, [line]] = await Promise.all([
      lockLine(tx),
      tx.query<[{ isMine: boolean; used: number; aheadSlots: number; ahead: number }]>(
        `WITH ${LIVE}, mine AS (SELECT state, asked_at FROM build_slot WHERE flow_id = $1),
         ahead AS (
           SELECT slots FROM live
           WHERE is_waiting AND flow_id <> $1
             AND (priority, asked_at, flow_id) < ($2::integer, coalesce((SELECT asked_at FROM mine), 'infinity'), $1::uuid))
         SELECT coalesce((SELECT state = 'BUILDING' FROM mine), false) AS "isMine",
           (SELECT coalesce(sum(slots), 0)::integer FROM live WHERE is_used AND flow_id <> $1) AS used,
           (SELECT coalesce(sum(slots), 0)::integer FROM ahead) AS "aheadSlots",
           (SELECT count(*)::integer FROM ahead) AS ahead`,
        [flowId, priority],
      ),
    ]);
    if (line.isMine) return { place: 0, used: line.used };
    const isFree = line.used + line.aheadSlots + slots <= limit;
    await tx.query(
      `INSERT INTO build_slot (flow_id, slots, priority, state) VALUES ($1, $2, $3, $4)
       ON CONFLICT (flow_id) DO UPDATE SET slots = excluded.slots, state = excluded.state`,
      [flowId, slots, priority, isFree ? 'BUILDING' : 'WAITING'],
    );
    return { place: isFree ? 0 : line.ahead + 1, used: line.used };
  }

  /** Gives the flow's slots or its place in the line back, and calls those whose turn it is. In a transaction. */
  async release(tx: Tx, flowId: string, limit: number): Promise<void> {
    const [row] = await tx.query('SELECT 1 FROM build_slot WHERE flow_id = $1', [flowId]);
    if (!row) return;
    await Promise.all([
      lockLine(tx),
      tx.query('DELETE FROM build_slot WHERE flow_id = $1', [flowId]),
      // Waiting does not count against a deadline: what is left of the wait is taken off again.
      tx.query(
        `WITH ${LIVE}, line AS (
           SELECT flow_id, sum(slots) OVER (ORDER BY priority, asked_at, flow_id) AS up_to FROM live WHERE is_waiting),
         called AS (
           UPDATE flow SET deadline_at = deadline_at - (run_at - clock_timestamp()), run_at = clock_timestamp() FROM line
           WHERE flow.id = line.flow_id AND flow.state = 'QUEUED' AND flow.run_at > clock_timestamp()
             AND line.up_to <= $1 - (SELECT coalesce(sum(slots), 0) FROM live WHERE is_used)
           RETURNING flow.turn_key)
         SELECT pg_notify('${FLOW_CHANNEL}', turn_key::text) FROM called`,
        [limit],
      ),
    ]);
  }

  /** For gauges. */
  async counts(tx: Tx): Promise<BuildSlotCounts> {
    const [row]: [BuildSlotCounts] = await tx.query(
      `WITH ${LIVE} SELECT coalesce(sum(slots) FILTER (WHERE is_used), 0)::integer AS used,
         coalesce(sum(slots) FILTER (WHERE is_waiting), 0)::integer AS waiting FROM live`,
    );
    return row;
  }
}

/** When a flow at this place of the line looks again unless it is called, in milliseconds. */
export function nextLookMs(place: number): number {
  return Math.min(LOOK_MS.max, Math.max(LOOK_MS.min, place * LOOK_MS.perPlace));
}

async function lockLine(tx: Tx): Promise<void> {
  await tx.query('SELECT pg_advisory_xact_lock($1)', [LINE_LOCK]);
}
