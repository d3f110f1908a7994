import type { Tx } from '../core/database.ts';

/** Traffic of a listener on one amphora, from one entry of a batch. */
export interface ListenerTraffic {
  readonly amphoraId: string;
  readonly listenerId: string;
  /** True: the four sums are totals that replace what is stored. False: differences to add. */
  readonly isAbsolute: boolean;
  readonly bytesIn: bigint;
  readonly bytesOut: bigint;
  readonly totalConnections: bigint;
  readonly requestErrors: bigint;
  /** Always the newest value. */
  readonly activeConnections: bigint;
}

/** Names a batch: numbers of one sender to one owner only grow. */
export interface BatchName {
  readonly senderId: string;
  /** Address of the owner that the batch was sent to. */
  readonly owner: string;
  readonly number: bigint;
}

const MAX = 9_223_372_036_854_775_807n;
const SUMS = ['bytes_in', 'bytes_out', 'total_connections', 'request_errors'] as const;

/** Statistics of listeners, a row for each amphora that serves them; written from batches that count once each. */
export class ListenerStatistics {
  /**
   * Counts the batch, unless it (or a later one of this sender) was counted already. Returns whether it did. What does not
   * belong together (the listener is not of the amphora's load balancer) is left out. Sums stop at 2^63 - 1.
   */
  async add(tx: Tx, batch: BatchName, traffic: readonly ListenerTraffic[]): Promise<boolean> {
    const taken = await tx.query(
      `INSERT INTO statistics_batch AS b (sender_id, owner, number) VALUES ($1, $2, $3)
       ON CONFLICT (sender_id, owner) DO UPDATE SET number = excluded.number, updated_at = clock_timestamp()
         WHERE b.number < excluded.number
       RETURNING number`,
      [batch.senderId, batch.owner, clamped(batch.number)],
    );
    if (taken.length === 0) return false;
    await this.#write(
      tx,
      traffic.filter((one) => !one.isAbsolute),
      ADDED,
    );
    await this.#write(
      tx,
      traffic.filter((one) => one.isAbsolute),
      REPLACED,
    );
    return true;
  }

  async #write(tx: Tx, traffic: readonly ListenerTraffic[], assignments: string): Promise<void> {
    if (traffic.length === 0) return;
    await tx.query(
      `INSERT INTO listener_statistics AS s
         (listener_id, amphora_id, load_balancer_id, bytes_in, bytes_out, total_connections, request_errors, active_connections)
       SELECT l.id, a.amphora_id, l.load_balancer_id, ${SUMS.map((sum) => `LEAST(sum(said.${sum}), ${MAX})::bigint`).join(', ')},
              (array_agg(said.active_connections ORDER BY said.position DESC))[1]
         FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])
              WITH ORDINALITY AS said (amphora_id, listener_id, bytes_in, bytes_out, total_connections, request_errors,
                                       active_connections, position)
         JOIN listener AS l ON l.id = said.listener_id
         JOIN seat AS a ON a.amphora_id = said.amphora_id AND a.load_balancer_id = l.load_balancer_id AND a.state <> 'LEFT'
        GROUP BY l.id, a.amphora_id ORDER BY l.id, a.amphora_id
       ON CONFLICT (listener_id, amphora_id) DO UPDATE
         SET ${assignments}, active_connections = excluded.active_connections, updated_at = clock_timestamp()`,
      [
        traffic.map((one) => one.amphoraId),
        traffic.map((one) => one.listenerId),
        traffic.map((one) => clamped(one.bytesIn)),
        traffic.map((one) => clamped(one.bytesOut)),
        traffic.map((one) => clamped(one.totalConnections)),
        traffic.map((one) => clamped(one.requestErrors)),
        traffic.map((one) => clamped(one.activeConnections)),
      ],
    );
  }
}

/** Traffic, added up. */
export interface Traffic {
  readonly bytesIn: bigint;
  readonly bytesOut: bigint;
  readonly activeConnections: bigint;
  readonly totalConnections: bigint;
  readonly requestErrors: bigint;
  /** When the newest counters arrived; null: none yet. */
  readonly updatedAt: Date | null;
}

/** Traffic of one listener on one amphora. */
export interface AmphoraTraffic extends Traffic {
  readonly listenerId: string;
  readonly loadBalancerId: string;
}

/** Sums over rows `s` beside their seat and amphora. Only one that serves has connections now; its sums are kept for ever. */
const TRAFFIC = `${SUMS.map((sum) => `coalesce(sum(s.${sum}), 0)::text AS ${sum}`).join(', ')},
  coalesce(sum(s.active_connections) FILTER (WHERE a.status = 'ALLOCATED' AND seat.state = 'TAKEN'), 0)::text AS active_connections,
  max(s.updated_at) AS updated_at`;
const BESIDE = `LEFT JOIN amphora a ON a.id = s.amphora_id
  LEFT JOIN seat ON seat.amphora_id = s.amphora_id AND seat.load_balancer_id = s.load_balancer_id`;

/** What listeners and amphorae have carried, from what was written above. */
export class TrafficReports {
  /** Of the listeners that the load balancer has now. */
  async ofLoadBalancer(tx: Tx, id: string): Promise<Traffic> {
    const [row] = await tx.query(
      `SELECT ${TRAFFIC} FROM listener_statistics s JOIN listener l ON l.id = s.listener_id
         ${BESIDE} WHERE l.load_balancer_id = $1`,
      [id],
    );
    return toTraffic(row);
  }

  async ofListener(tx: Tx, id: string): Promise<Traffic> {
    const [row] = await tx.query(`SELECT ${TRAFFIC} FROM listener_statistics s ${BESIDE} WHERE s.listener_id = $1`, [
      id,
    ]);
    return toTraffic(row);
  }

  /** Of an amphora, by listener. */
  async ofAmphora(tx: Tx, id: string): Promise<AmphoraTraffic[]> {
    const rows: (TrafficRow & { listener_id: string; load_balancer_id: string })[] = await tx.query(
      `SELECT s.listener_id, s.load_balancer_id, ${TRAFFIC}
       FROM listener_statistics s ${BESIDE} WHERE s.amphora_id = $1
       GROUP BY s.listener_id, s.load_balancer_id ORDER BY s.listener_id`,
      [id],
    );
    return rows.map((row) => ({
      ...toTraffic(row),
      listenerId: row.listener_id,
      loadBalancerId: row.load_balancer_id,
    }));
  }
}

interface TrafficRow {
  readonly bytes_in: string;
  readonly bytes_out: string;
  readonly active_connections: string;
  readonly total_connections: string;
  readonly request_errors: string;
  readonly updated_at: Date | null;
}

/** Largest sum that the contract carries. */
const MAX_SUM = 2n ** 64n - 1n;

function toTraffic(row: TrafficRow): Traffic {
  const sum = (digits: string): bigint => (BigInt(digits) > MAX_SUM ? MAX_SUM : BigInt(digits));
  return {
    bytesIn: sum(row.bytes_in),
    bytesOut: sum(row.bytes_out),
    activeConnections: sum(row.active_connections),
    totalConnections: sum(row.total_connections),
    requestErrors: sum(row.request_errors),
    updatedAt: row.updated_at,
  };
}

const ADDED = SUMS.map((sum) => `${sum} = LEAST(s.${sum}::numeric + excluded.${sum}, ${MAX})::bigint`).join(', ');
const REPLACED = SUMS.map((sum) => `${sum} = excluded.${sum}`).join(', ');

/** As text, because pg would round a number; PostgreSQL has no unsigned integers. */
function clamped(value: bigint): string {
  return String(value > MAX ? MAX : value);
}
