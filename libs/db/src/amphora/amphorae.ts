import {
  type Amphora,
  type AmphoraClass,
  type AmphoraFacts,
  type AmphoraRole,
  type AmphoraStatus,
  type Fault,
  NotFound,
} from '@octavia/domain';
import type { Tx } from '../core/database.ts';
import { MACHINE, type MaybeSeatedRow, SEAT, toAmphorae } from './amphora-row.ts';

/** Channel that says: this amphora was allocated, released or deleted, or its seats changed. Payload: its id. */
export const AMPHORA_CHANNEL = 'amphora';

/** Most amphorae that one page holds. */
const MAX_PAGE = 1000;

/** An amphora that is to be built. */
export interface NewAmphora {
  /** UUID version 7. */
  readonly id: string;
  readonly projectId: string;
  readonly author: string;
  readonly requestId: string;
  readonly class: AmphoraClass;
  readonly computeDriver: string;
}

/** What becomes known of an amphora while it is built. */
export interface AmphoraPatch {
  readonly computeId?: string;
  readonly computeHost?: string | null;
  readonly imageId?: string | null;
  readonly lbNetworkIp?: string;
  readonly agentPort?: number;
  /** What its agent has been told. */
  readonly topology?: AmphoraClass['topology'];
  readonly facts?: AmphoraFacts;
  readonly certExpiresAt?: Date;
}

export interface AmphoraFilter {
  readonly loadBalancerId?: string;
  readonly status?: AmphoraStatus;
  readonly role?: AmphoraRole;
}

const COLUMNS: Record<keyof AmphoraPatch, string> = {
  computeId: 'compute_id',
  computeHost: 'compute_host',
  imageId: 'image_id',
  lbNetworkIp: 'lb_network_ip',
  agentPort: 'agent_port',
  topology: 'topology',
  facts: 'facts',
  certExpiresAt: 'cert_expires_at',
};

/** Of an amphora that is DELETED all seats that it had: nobody left, it was deleted with them. */
const WITH_SEATS = `SELECT ${MACHINE}, ${SEAT} FROM amphora AS a LEFT JOIN seat AS s ON s.amphora_id = a.id AND s.state <> 'LEFT'`;

/** Amphorae: spares, those that serve, and those on their way out. Who serves where is known to {@link Seats}. Stateless. */
export class Amphorae {
  /** Finds it in any status, DELETED too. @param options.lock keeps it from changing until the transaction ends. @throws NotFound */
  async get(tx: Tx, id: string, options: { readonly lock?: boolean } = {}): Promise<Amphora> {
    // In a statement of its own: the next one sees what was written while this one waited for the lock.
    if (options.lock) await tx.query('SELECT 1 FROM amphora WHERE id = $1 FOR UPDATE', [id]);
    const rows: MaybeSeatedRow[] = await tx.query(`${WITH_SEATS} WHERE a.id = $1 ORDER BY s.load_balancer_id`, [id]);
    const [amphora] = toAmphorae(rows);
    if (!amphora) throw new NotFound('amphora', id);
    return amphora;
  }

  /** Records an amphora that is to be built: BOOTING. Inserting the same id again does nothing. */
  async insert(tx: Tx, { class: wanted, ...amphora }: NewAmphora): Promise<void> {
    await tx.query(
      `INSERT INTO amphora (id, project_id, author, request_id, status, compute_flavor, image_tag, zone, topology, compute_driver)
       VALUES ($1, $2, $3, $4, 'BOOTING', $5, $6, $7, $8, $9) ON CONFLICT (id) DO NOTHING`,
      [
        amphora.id,
        amphora.projectId,
        amphora.author,
        amphora.requestId,
        wanted.computeFlavor,
        wanted.imageTag,
        wanted.zone,
        wanted.topology,
        amphora.computeDriver,
      ],
    );
  }

  /** One page of the amphorae that are not DELETED, by id. @param after id of the last one of the page before; @param limit 1 to 1000 */
  async page(tx: Tx, filter: AmphoraFilter, limit: number, after?: string): Promise<Amphora[]> {
    const rows: MaybeSeatedRow[] = await tx.query(
      `WITH chosen AS (
         SELECT id FROM amphora AS a
         WHERE deleted_at IS NULL AND ($2::text IS NULL OR status = $2) AND ($4::uuid IS NULL OR id > $4)
           AND ($1::uuid IS NULL AND $3::text IS NULL
             OR EXISTS (SELECT 1 FROM seat AS s WHERE s.amphora_id = a.id AND s.state <> 'LEFT'
                          AND ($1::uuid IS NULL OR s.load_balancer_id = $1) AND ($3::text IS NULL OR s.role = $3)))
         ORDER BY id LIMIT $5)
       ${WITH_SEATS} WHERE a.id IN (SELECT id FROM chosen) ORDER BY a.id, s.load_balancer_id`,
      [
        filter.loadBalancerId ?? null,
        filter.status ?? null,
        filter.role ?? null,
        after ?? null,
        Math.min(limit, MAX_PAGE),
      ],
    );
    return toAmphorae(rows);
  }

  /** Spares of a class, of any topology, that are ready or being built: what housekeeping counts. */
  async countSpares(tx: Tx, wanted: AmphoraClass, computeDriver: string): Promise<{ ready: number; booting: number }> {
    const [row]: [{ ready: number; booting: number }] = await tx.query(
      `SELECT count(*) FILTER (WHERE status = 'READY')::integer AS ready,
              count(*) FILTER (WHERE status = 'BOOTING')::integer AS booting
       FROM amphora
       WHERE seats_taken = 0 AND deleted_at IS NULL AND status IN ('READY', 'BOOTING') AND compute_flavor = $1
         AND image_tag = $2 AND zone = $3 AND compute_driver = $4`,
      [wanted.computeFlavor, wanted.imageTag, wanted.zone, computeDriver],
    );
    return row;
  }

  /** Spares that a load balancer of the class does not get: those of it that are being built, and ready ones of other classes. */
  async sparesBeside(
    tx: Tx,
    wanted: AmphoraClass,
    computeDriver: string,
  ): Promise<{ readonly booting: number; readonly others: number }> {
    const [row]: [{ booting: number; others: number }] = await tx.query(
      `SELECT count(*) FILTER (WHERE status = 'BOOTING' AND is_fit)::integer AS booting,
              count(*) FILTER (WHERE status = 'READY' AND NOT is_fit)::integer AS others
       FROM (SELECT status, compute_flavor = $1 AND image_tag = $2 AND zone = $3 AND compute_driver = $4 AS is_fit
             FROM amphora
             WHERE status IN ('BOOTING', 'READY') AND seats_taken = 0 AND deleted_at IS NULL) AS spare`,
      [wanted.computeFlavor, wanted.imageTag, wanted.zone, computeDriver],
    );
    return row;
  }

  /** Moves an amphora to a status. DELETED sets when; ERROR wants a fault, which any status but READY keeps. */
  async setStatus(tx: Tx, id: string, status: AmphoraStatus, fault?: Fault): Promise<void> {
    const [, count]: [unknown, number] = await tx.query(
      `UPDATE amphora SET status = $2::text, updated_at = now(),
         deleted_at = CASE WHEN $2 = 'DELETED' THEN coalesce(deleted_at, now()) END,
         fault_reason = coalesce($3, CASE WHEN $2 <> 'READY' THEN fault_reason END),
         fault_message = coalesce($4, CASE WHEN $2 <> 'READY' THEN fault_message END)
       WHERE id = $1`,
      [id, status, fault?.reason ?? null, fault?.message ?? null],
    );
    if (count === 0) throw new NotFound('amphora', id);
    await announceAmphora(tx, id);
  }

  /** Keeps what became known. */
  async update(tx: Tx, id: string, patch: AmphoraPatch): Promise<void> {
    const entries = Object.entries(patch).filter(([, value]) => value !== undefined);
    if (entries.length === 0) return;
    const set = entries.map(([key], index) => `${COLUMNS[key as keyof AmphoraPatch]} = $${index + 2}`).join(', ');
    const values = entries.map(([key, value]) => (key === 'facts' ? JSON.stringify(value) : value));
    const [, count]: [unknown, number] = await tx.query(`UPDATE amphora SET ${set}, updated_at = now() WHERE id = $1`, [
      id,
      ...values,
    ]);
    if (count === 0) throw new NotFound('amphora', id);
  }
}

/** Tells who follows amphorae. */
export async function announceAmphora(tx: Tx, id: string): Promise<void> {
  await tx.query('SELECT pg_notify($1, $2)', [AMPHORA_CHANNEL, id]);
}
