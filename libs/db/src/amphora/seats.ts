import {
  type AmphoraChoice,
  type AmphoraClass,
  type AmphoraRole,
  type AmphoraStatus,
  NotFound,
  type SeatedAmphora,
} from '@octavia/domain';
import type { Tx } from '../core/database.ts';
import { MACHINE, SEAT, type SeatedRow, toSeated } from './amphora-row.ts';
import { announceAmphora } from './amphorae.ts';

/** A load balancer that wants an amphora. */
export interface Guest {
  readonly loadBalancerId: string;
  readonly projectId: string;
  readonly role: AmphoraRole;
  /** How many load balancers may be on its amphora, itself included; 1: it wants one alone. */
  readonly seatLimit: number;
  /** It is never on one amphora with another of its group; null: it does not matter. */
  readonly apolocationGroup: string | null;
}

/** Compute hosts that it had better not be on; taken none the less when there is no other. Why, in either case. */
export interface Avoidance {
  readonly hosts: readonly string[];
  readonly apart: string;
  readonly together: string;
}

/** What becomes known of a load balancer on an amphora. */
export interface SeatPatch {
  readonly vrrpIp?: string | null;
  readonly haIp?: string | null;
  readonly vrrpPortId?: string | null;
  readonly vrrpInterface?: string;
  /** Revision of the load balancer that it serves now. */
  readonly appliedRevision?: number;
}

/** Names a seat. */
export interface SeatKey {
  readonly amphoraId: string;
  readonly loadBalancerId: string;
}

const COLUMNS: Record<keyof SeatPatch, string> = {
  vrrpIp: 'vrrp_ip',
  haIp: 'ha_ip',
  vrrpPortId: 'vrrp_port_id',
  vrrpInterface: 'vrrp_interface',
  appliedRevision: 'applied_revision',
};

/** Amphorae of a group that are looked at to find out which hosts it is on. */
const GROUP_LOOKED_AT = 100;

const SEATED = `SELECT ${MACHINE}, ${SEAT} FROM seat AS s JOIN amphora AS a ON a.id = s.amphora_id`;
const NEW_SEAT = `INSERT INTO seat (amphora_id, load_balancer_id, role, apolocation_group, origin, choice_reason)`;
/** One that comes back to an amphora that it had left begins anew. */
const AGAIN = `ON CONFLICT (amphora_id, load_balancer_id) DO UPDATE
  SET state = 'TAKEN', role = excluded.role, apolocation_group = excluded.apolocation_group, origin = excluded.origin,
      choice_reason = excluded.choice_reason, vrrp_ip = NULL, ha_ip = NULL, vrrp_port_id = NULL, vrrp_interface = NULL,
      applied_revision = 0, fault_reason = NULL, fault_message = NULL`;

/**
 * Which load balancers serve on which amphorae. An amphora serves load balancers of one project, and of one apolocation group at most
 * one. Whoever changes its seats holds the lock of its row. Stateless.
 */
export class Seats {
  /** @throws NotFound when the amphora is not there, or the load balancer has left it, or never had a seat */
  async get(tx: Tx, { amphoraId, loadBalancerId }: SeatKey): Promise<SeatedAmphora> {
    const [row]: SeatedRow[] = await tx.query(
      `${SEATED} WHERE s.amphora_id = $1 AND s.load_balancer_id = $2 AND s.state <> 'LEFT'`,
      [amphoraId, loadBalancerId],
    );
    if (!row) throw new NotFound('amphora', amphoraId);
    return toSeated(row);
  }

  /** Amphorae of a load balancer that are not DELETED and that it has not left, oldest first. */
  async ofLoadBalancer(tx: Tx, loadBalancerId: string, statuses?: readonly AmphoraStatus[]): Promise<SeatedAmphora[]> {
    const rows: SeatedRow[] = await tx.query(
      `${SEATED} WHERE s.load_balancer_id = $1 AND s.state <> 'LEFT' AND a.deleted_at IS NULL ORDER BY a.id`,
      [loadBalancerId],
    );
    const all = rows.map(toSeated);
    return statuses ? all.filter(({ status }) => statuses.includes(status)) : all;
  }

  /**
   * Takes the oldest ready spare of the class for a load balancer: ALLOCATED. One of another host than those that it avoids is taken
   * first, then one whose agent was told the same topology; another has to be told. Two transactions never get the same one, and none
   * waits for another. Null: there is none.
   */
  async claimSpare(
    tx: Tx,
    wanted: AmphoraClass,
    computeDriver: string,
    guest: Guest,
    avoid: Avoidance,
  ): Promise<SeatedAmphora | null> {
    const [row]: SeatedRow[] = await tx.query(
      `WITH a AS (
         UPDATE amphora SET status = 'ALLOCATED', project_id = $6, seat_limit = $12, seats_taken = 1, updated_at = now()
         WHERE id = (SELECT id FROM amphora
                     WHERE status = 'READY' AND compute_flavor = $1 AND image_tag = $2 AND zone = $3 AND compute_driver = $5
                     ORDER BY coalesce(compute_host = ANY ($8::text[]), false), topology <> $4, id LIMIT 1
                     FOR UPDATE SKIP LOCKED)
         RETURNING *),
       s AS (
         ${NEW_SEAT}
         SELECT a.id, $11, $7, $13, 'SPARE', CASE WHEN a.compute_host = ANY ($8::text[]) THEN $10 ELSE $9 END FROM a
         RETURNING *)
       SELECT ${MACHINE}, ${SEAT}, pg_notify('amphora', a.id::text) FROM a CROSS JOIN s`,
      [
        wanted.computeFlavor,
        wanted.imageTag,
        wanted.zone,
        wanted.topology,
        computeDriver,
        guest.projectId,
        guest.role,
        avoid.hosts,
        avoid.apart,
        avoid.together,
        guest.loadBalancerId,
        guest.seatLimit,
        guest.apolocationGroup,
      ],
    );
    return row ? toSeated(row) : null;
  }

  /** Records that an amphora, which is to be built, is for the load balancer. Repeating it does no harm. */
  async reserve(tx: Tx, amphoraId: string, guest: Guest, choice: AmphoraChoice): Promise<void> {
    await tx.query('UPDATE amphora SET seat_limit = $2, seats_taken = 1 WHERE id = $1', [amphoraId, guest.seatLimit]);
    await tx.query(
      `${NEW_SEAT} VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (amphora_id, load_balancer_id) DO NOTHING`,
      [amphoraId, guest.loadBalancerId, guest.role, guest.apolocationGroup, choice.origin, choice.reason],
    );
  }

  /**
   * Gives the load balancer a seat on an amphora of the class that serves others of its project, by their limits and its own: the
   * fullest first, so that the others run empty. None waits for another. Null: there is none with room.
   * @param how.refused ids of amphorae that are not looked at
   * @param how.reason for people, of the number of load balancers on it, the new one included, and the limit
   */
  async join(
    tx: Tx,
    wanted: AmphoraClass,
    computeDriver: string,
    guest: Guest,
    how: { readonly refused: readonly string[]; readonly reason: (count: number, limit: number) => string },
  ): Promise<SeatedAmphora | null> {
    if (guest.seatLimit <= 1) return null;
    const fits = `status = 'ALLOCATED' AND seats_taken < seat_limit AND seats_taken < $1 AND closed_at IS NULL
      AND fault_reason IS NULL
      AND NOT EXISTS (SELECT 1 FROM seat WHERE amphora_id = amphora.id AND state <> 'LEFT'
                        AND (load_balancer_id = $2 OR apolocation_group = $3))`;
    const common = [guest.seatLimit, guest.loadBalancerId, guest.apolocationGroup];
    // Locked first, and looked at again afterwards: who else took a seat meanwhile is seen only by a statement that began later.
    const [locked]: { id: string }[] = await tx.query(
      `SELECT id FROM amphora
       WHERE ${fits} AND project_id = $4 AND compute_flavor = $5 AND image_tag = $6 AND zone = $7 AND topology = $8
         AND compute_driver = $9 AND id <> ALL ($10::uuid[])
       ORDER BY seats_taken DESC, id LIMIT 1 FOR UPDATE SKIP LOCKED`,
      [
        ...common,
        guest.projectId,
        wanted.computeFlavor,
        wanted.imageTag,
        wanted.zone,
        wanted.topology,
        computeDriver,
        how.refused,
      ],
    );
    if (!locked) return null;
    const [found]: { id: string; count: number; limit: number }[] = await tx.query(
      `SELECT id, seats_taken + 1 AS count, least(seat_limit, $1) AS limit FROM amphora WHERE ${fits} AND id = $4`,
      [...common, locked.id],
    );
    if (!found) return null;
    const { id: amphoraId, count, limit } = found;
    await tx.query('UPDATE amphora SET seats_taken = seats_taken + 1, updated_at = now() WHERE id = $1', [amphoraId]);
    await tx.query(`${NEW_SEAT} VALUES ($1, $2, $3, $4, 'COLOCATED', $5) ${AGAIN}`, [
      amphoraId,
      guest.loadBalancerId,
      guest.role,
      guest.apolocationGroup,
      how.reason(count, limit),
    ]);
    await announceAmphora(tx, amphoraId);
    return this.get(tx, { amphoraId, loadBalancerId: guest.loadBalancerId });
  }

  /** Amphorae of the other load balancers of an apolocation group. */
  async ofGroup(
    tx: Tx,
    { projectId, apolocationGroup, loadBalancerId }: Omit<Guest, 'role' | 'seatLimit'>,
  ): Promise<{ readonly amphoraId: string; readonly computeHost: string | null }[]> {
    if (apolocationGroup === null) return [];
    return tx.query(
      `SELECT a.id AS "amphoraId", a.compute_host AS "computeHost"
         FROM load_balancer AS lb JOIN seat AS s ON s.load_balancer_id = lb.id JOIN amphora AS a ON a.id = s.amphora_id
        WHERE lb.project_id = $1 AND lb.apolocation_group = $2 AND lb.deleted_at IS NULL AND lb.id <> $3 AND s.state = 'TAKEN'
          AND a.status IN ('BOOTING', 'ALLOCATED')
        ORDER BY a.id DESC LIMIT ${GROUP_LOOKED_AT}`,
      [projectId, apolocationGroup, loadBalancerId],
    );
  }

  /** Keeps what became known. @throws NotFound */
  async update(tx: Tx, { amphoraId, loadBalancerId }: SeatKey, patch: SeatPatch): Promise<void> {
    const entries = Object.entries(patch).filter(([, value]) => value !== undefined);
    if (entries.length === 0) return;
    const set = entries.map(([key], index) => `${COLUMNS[key as keyof SeatPatch]} = $${index + 3}`).join(', ');
    const [, count]: [unknown, number] = await tx.query(
      `UPDATE seat SET ${set} WHERE amphora_id = $1 AND load_balancer_id = $2`,
      [amphoraId, loadBalancerId, ...entries.map(([, value]) => value)],
    );
    if (count === 0) throw new NotFound('amphora', amphoraId);
  }

  /**
   * Before an amphora is isolated on behalf of one of its load balancers: when that is the only one, no other gets a seat from now on.
   * @returns whether it is
   */
  async closeIfAlone(tx: Tx, { amphoraId, loadBalancerId }: SeatKey): Promise<boolean> {
    await tx.query('SELECT 1 FROM amphora WHERE id = $1 FOR UPDATE', [amphoraId]);
    const [, count]: [unknown, number] = await tx.query(
      `UPDATE amphora SET closed_at = coalesce(closed_at, clock_timestamp())
        WHERE id = $1 AND NOT EXISTS (SELECT 1 FROM seat WHERE amphora_id = $1 AND load_balancer_id <> $2 AND state = 'TAKEN')`,
      [amphoraId, loadBalancerId],
    );
    return count > 0;
  }

  /** The load balancer is to leave: it may still be answered for. */
  async leave(tx: Tx, { amphoraId, loadBalancerId }: SeatKey): Promise<void> {
    await tx.query(
      `UPDATE seat SET state = 'LEAVING' WHERE amphora_id = $1 AND load_balancer_id = $2 AND state = 'TAKEN'`,
      [amphoraId, loadBalancerId],
    );
    await announceAmphora(tx, amphoraId);
  }

  /** Nothing of the load balancer is on the amphora any more. Returns how many are. The caller has locked the amphora. */
  async left(tx: Tx, { amphoraId, loadBalancerId }: SeatKey): Promise<number> {
    const [row]: [{ seats: number } | undefined] = await tx.query(
      `WITH gone AS (
         UPDATE seat SET state = 'LEFT' WHERE amphora_id = $1 AND load_balancer_id = $2 AND state <> 'LEFT' RETURNING 1),
       counted AS (
         UPDATE amphora SET seats_taken = seats_taken - 1, updated_at = now()
          WHERE id = $1 AND EXISTS (SELECT 1 FROM gone) RETURNING seats_taken)
       SELECT coalesce((SELECT seats_taken FROM counted), seats_taken) AS seats FROM amphora WHERE id = $1`,
      [amphoraId, loadBalancerId],
    );
    await announceAmphora(tx, amphoraId);
    return row?.seats ?? 0;
  }
}
