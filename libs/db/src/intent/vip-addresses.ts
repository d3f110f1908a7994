import { NoFreeAddress, VipAddressTaken } from '@octavia/domain';
import type { Tx } from '../core/database.ts';

/** Random addresses that the first try looks at. In a subnet that is half full, all of them are taken once in 65,000 times. */
const PROBES = 16;
/** Addresses that the thorough search looks at, at most: a /16 of IPv4. A larger subnet is never that full. */
const MAX_SEARCHED = 65_536;
/** Tries of the thorough search. Each failure means that another transaction has just got the address: all of them progress. */
const SEARCHES = 20;

export interface AddressRequest {
  readonly subnetId: string;
  /** Null: any free one. */
  readonly address: string | null;
  readonly loadBalancerId: string;
}

const FREE = `(v.load_balancer_id IS NULL AND coalesce(v.free_at, '-infinity') <= now())`;

/**
 * Takes one of the candidates. The advisory lock makes transactions that look at the same address at once pass on to the next
 * one, instead of waiting for each other: a row that is not there yet cannot be skipped by SKIP LOCKED. What a committed
 * transaction took in between is left alone by the last WHERE, and nothing is returned. OFFSET 0 keeps the planner from trying
 * locks of addresses that are taken.
 */
const take = (candidates: string): string => `
  WITH candidate AS MATERIALIZED (
    SELECT address FROM (
      SELECT address FROM (${candidates}) c
      WHERE NOT EXISTS (SELECT 1 FROM vip_address v WHERE v.subnet_id = $1 AND v.address = c.address AND NOT ${FREE})
      OFFSET 0) free_one
    WHERE pg_try_advisory_xact_lock(hashtextextended($1::uuid::text || host(address), 0))
    LIMIT 1),
  taken AS (
    INSERT INTO vip_address AS v (subnet_id, address, load_balancer_id) SELECT $1, address, $2 FROM candidate
    ON CONFLICT (subnet_id, address) DO UPDATE SET load_balancer_id = excluded.load_balancer_id, free_at = NULL
    WHERE ${FREE}
    RETURNING address)
  SELECT (SELECT address FROM taken) AS address, EXISTS (SELECT 1 FROM candidate) AS found`;

const PROBE = take(`
  SELECT first_address + floor(random() * (last_address - first_address + 1))::bigint AS address
  FROM subnet, generate_series(1, ${PROBES}) WHERE id = $1`);

const SEARCH = take(`
  SELECT first_address + n AS address
  FROM subnet, generate_series(0, least(last_address - first_address, ${MAX_SEARCHED - 1})) n WHERE id = $1 ORDER BY random()`);

const TAKE_GIVEN = `
  INSERT INTO vip_address AS v (subnet_id, address, load_balancer_id) VALUES ($1, $3, $2)
  ON CONFLICT (subnet_id, address) DO UPDATE SET load_balancer_id = excluded.load_balancer_id, free_at = NULL
  WHERE ${FREE}
  RETURNING address`;

/** Addresses of VIPs in the subnets that we manage. */
export class VipAddresses {
  /**
   * Gives an address to a load balancer, whose row may be inserted later in the transaction. It is random, so that creates
   * hardly ever look at the same one, and neither does a client of a load balancer that is gone meet the next one.
   * @throws VipAddressTaken, NoFreeAddress
   */
  async allocate(tx: Tx, { subnetId, address, loadBalancerId }: AddressRequest): Promise<string> {
    if (address !== null) {
      const rows = await tx.query(TAKE_GIVEN, [subnetId, loadBalancerId, address]);
      if (rows.length === 0) throw new VipAddressTaken(address);
      return rows[0].address;
    }
    for (const statement of [PROBE, ...Array<string>(SEARCHES).fill(SEARCH)]) {
      const [row] = await tx.query(statement, [subnetId, loadBalancerId]);
      if (row.address) return row.address;
      if (!row.found && statement === SEARCH) break;
    }
    throw new NoFreeAddress(subnetId);
  }

  /** Takes the address from a load balancer that is gone; it rests before it is used again. Succeeds if there is none. */
  async release(tx: Tx, loadBalancerId: string, restMs: number): Promise<void> {
    await tx.query(
      `UPDATE vip_address SET load_balancer_id = NULL, free_at = now() + $2 * interval '1 ms' WHERE load_balancer_id = $1`,
      [loadBalancerId, restMs],
    );
  }
}
