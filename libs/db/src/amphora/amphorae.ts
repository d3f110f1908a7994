import {
  type Amphora,
  type AmphoraChoice,
  type AmphoraClass,
  type AmphoraFacts,
  type AmphoraOrigin,
  type AmphoraRole,
  type AmphoraStatus,
  type Fault,
  NotFound,
} from '@octavia/domain';
import type { Tx } from '../core/database.ts';

/** Channel that says: this amphora was allocated, released or deleted. Payload: its id. */
export const AMPHORA_CHANNEL = 'amphora';

/** Most amphorae that one page holds. */
const MAX_PAGE = 1000;

export interface NewAmphora {
  /** UUID version 7. */
  readonly id: string;
  readonly projectId: string;
  readonly author: string;
  readonly requestId: string;
  readonly class: AmphoraClass;
  readonly computeDriver: string;
  /** For which load balancer it is built; absent: a spare. */
  readonly loadBalancerId?: string;
  readonly role?: AmphoraRole;
  /** Why its load balancer gets a new one; absent for spares. */
  readonly choice?: AmphoraChoice;
}

/** A load balancer that wants a spare. */
export interface SpareOwner {
  readonly loadBalancerId: string;
  readonly projectId: string;
  readonly role: AmphoraRole;
  /** Compute hosts that it had better not be on, because its peer is; taken none the less when there is no other. */
  readonly avoidedHosts: readonly string[];
  /** Why it is taken: from another host, or from an avoided one. */
  readonly reasons: { readonly apart: string; readonly together: string };
}

/** What becomes known of an amphora while it is built. */
export interface AmphoraPatch {
  readonly computeId?: string;
  readonly computeHost?: string | null;
  readonly imageId?: string | null;
  readonly lbNetworkIp?: string;
  readonly agentPort?: number;
  readonly vrrpIp?: string | null;
  readonly haIp?: string | null;
  readonly vrrpPortId?: string | null;
  readonly vrrpInterface?: string;
  /** What its agent has been told. */
  readonly topology?: AmphoraClass['topology'];
  readonly facts?: AmphoraFacts;
  readonly certExpiresAt?: Date;
  /** Revision of its load balancer that it serves now. */
  readonly appliedRevision?: number;
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
  vrrpIp: 'vrrp_ip',
  haIp: 'ha_ip',
  vrrpPortId: 'vrrp_port_id',
  vrrpInterface: 'vrrp_interface',
  topology: 'topology',
  facts: 'facts',
  certExpiresAt: 'cert_expires_at',
  appliedRevision: 'applied_revision',
};

/** Amphorae: spares, those that serve, and those on their way out. Stateless. */
export class Amphorae {
  /** Finds it in any status, DELETED too. @param options.lock keeps it from changing until the transaction ends. @throws NotFound */
  async get(tx: Tx, id: string, options: { readonly lock?: boolean } = {}): Promise<Amphora> {
    const [row]: AmphoraRow[] = await tx.query(
      `SELECT ${SELECTED} FROM amphora WHERE id = $1 ${options.lock ? 'FOR UPDATE' : ''}`,
      [id],
    );
    if (!row) throw new NotFound('amphora', id);
    return toAmphora(row);
  }

  /** Records an amphora that is to be built: BOOTING. Inserting the same id again does nothing. */
  async insert(tx: Tx, amphora: NewAmphora): Promise<void> {
    const { class: wanted } = amphora;
    await tx.query(
      `INSERT INTO amphora (id, load_balancer_id, project_id, author, request_id, status, role, compute_flavor, image_tag, zone,
         topology, compute_driver, origin, choice_reason)
       VALUES ($1, $2, $3, $4, $5, 'BOOTING', $6, $7, $8, $9, $10, $11, $12, $13) ON CONFLICT (id) DO NOTHING`,
      [
        amphora.id,
        amphora.loadBalancerId ?? null,
        amphora.projectId,
        amphora.author,
        amphora.requestId,
        amphora.role ?? null,
        wanted.computeFlavor,
        wanted.imageTag,
        wanted.zone,
        wanted.topology,
        amphora.computeDriver,
        amphora.choice?.origin ?? null,
        amphora.choice?.reason ?? null,
      ],
    );
  }

  /**
   * Takes the oldest ready spare of the class for a load balancer: ALLOCATED. One of another host than those that it avoids is taken
   * first, then one whose agent was told the same topology; another has to be told. Two transactions never get the same one, and none
   * waits for another. Null: there is none.
   */
  async claimSpare(tx: Tx, wanted: AmphoraClass, computeDriver: string, owner: SpareOwner): Promise<Amphora | null> {
    const [[row]]: [AmphoraRow[], number] = await tx.query(
      `UPDATE amphora SET status = 'ALLOCATED', load_balancer_id = $6, project_id = $7, role = $8, applied_revision = 0,
         origin = 'SPARE', choice_reason = CASE WHEN compute_host = ANY ($9::text[]) THEN $11 ELSE $10 END, updated_at = now()
       WHERE id = (SELECT id FROM amphora
                   WHERE status = 'READY' AND compute_flavor = $1 AND image_tag = $2 AND zone = $3
                     AND compute_driver = $5
                   ORDER BY coalesce(compute_host = ANY ($9::text[]), false), topology <> $4, id LIMIT 1
                   FOR UPDATE SKIP LOCKED)
       RETURNING ${SELECTED}`,
      [
        wanted.computeFlavor,
        wanted.imageTag,
        wanted.zone,
        wanted.topology,
        computeDriver,
        owner.loadBalancerId,
        owner.projectId,
        owner.role,
        owner.avoidedHosts,
        owner.reasons.apart,
        owner.reasons.together,
      ],
    );
    if (!row) return null;
    await this.#announce(tx, row.id);
    return toAmphora(row);
  }

  /** Amphorae of a load balancer that are not DELETED, oldest first. */
  async ofLoadBalancer(tx: Tx, loadBalancerId: string, statuses?: readonly AmphoraStatus[]): Promise<Amphora[]> {
    const rows: AmphoraRow[] = await tx.query(
      `SELECT ${SELECTED} FROM amphora
       WHERE load_balancer_id = $1 AND deleted_at IS NULL AND ($2::text[] IS NULL OR status = ANY ($2)) ORDER BY id`,
      [loadBalancerId, statuses ?? null],
    );
    return rows.map(toAmphora);
  }

  /** One page of the amphorae that are not DELETED, by id. @param after id of the last one of the page before; @param limit 1 to 1000 */
  async page(tx: Tx, filter: AmphoraFilter, limit: number, after?: string): Promise<Amphora[]> {
    const rows: AmphoraRow[] = await tx.query(
      `SELECT ${SELECTED} FROM amphora
       WHERE deleted_at IS NULL AND ($1::uuid IS NULL OR load_balancer_id = $1) AND ($2::text IS NULL OR status = $2)
         AND ($3::text IS NULL OR role = $3) AND ($4::uuid IS NULL OR id > $4)
       ORDER BY id LIMIT $5`,
      [
        filter.loadBalancerId ?? null,
        filter.status ?? null,
        filter.role ?? null,
        after ?? null,
        Math.min(limit, MAX_PAGE),
      ],
    );
    return rows.map(toAmphora);
  }

  /** Spares of a class, of any topology, that are ready or being built: what housekeeping counts. */
  async countSpares(tx: Tx, wanted: AmphoraClass, computeDriver: string): Promise<{ ready: number; booting: number }> {
    const [row]: [{ ready: number; booting: number }] = await tx.query(
      `SELECT count(*) FILTER (WHERE status = 'READY')::integer AS ready,
              count(*) FILTER (WHERE status = 'BOOTING')::integer AS booting
       FROM amphora
       WHERE load_balancer_id IS NULL AND deleted_at IS NULL AND status IN ('READY', 'BOOTING') AND compute_flavor = $1
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
             WHERE status IN ('BOOTING', 'READY') AND load_balancer_id IS NULL AND deleted_at IS NULL) AS spare`,
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
    await this.#announce(tx, id);
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

  async #announce(tx: Tx, id: string): Promise<void> {
    await tx.query('SELECT pg_notify($1, $2)', [AMPHORA_CHANNEL, id]);
  }
}

/** host() leaves the prefix length of an inet out. */
const SELECTED = `id, load_balancer_id, status, role, compute_flavor, image_tag, zone, topology, compute_driver, compute_id,
  compute_host, image_id, host(lb_network_ip) AS lb_network_ip, agent_port, host(vrrp_ip) AS vrrp_ip, host(ha_ip) AS ha_ip,
  vrrp_port_id, vrrp_interface, facts, cert_expires_at, applied_revision, origin, choice_reason, fault_reason, fault_message,
  created_at, updated_at`;

interface AmphoraRow {
  id: string;
  load_balancer_id: string | null;
  status: AmphoraStatus;
  role: AmphoraRole | null;
  compute_flavor: string;
  image_tag: string;
  zone: string;
  topology: AmphoraClass['topology'];
  compute_driver: string;
  compute_id: string | null;
  compute_host: string | null;
  image_id: string | null;
  lb_network_ip: string | null;
  agent_port: number;
  vrrp_ip: string | null;
  ha_ip: string | null;
  vrrp_port_id: string | null;
  vrrp_interface: string | null;
  facts: AmphoraFacts | null;
  cert_expires_at: Date | null;
  applied_revision: number;
  origin: AmphoraOrigin | null;
  choice_reason: string | null;
  fault_reason: string | null;
  fault_message: string | null;
  created_at: Date;
  updated_at: Date | null;
}

function toAmphora(row: AmphoraRow): Amphora {
  return {
    id: row.id,
    loadBalancerId: row.load_balancer_id,
    status: row.status,
    role: row.role,
    class: {
      computeFlavor: row.compute_flavor,
      imageTag: row.image_tag,
      zone: row.zone,
      topology: row.topology,
    },
    computeDriver: row.compute_driver,
    computeId: row.compute_id,
    computeHost: row.compute_host,
    imageId: row.image_id,
    lbNetworkIp: row.lb_network_ip,
    agentPort: row.agent_port,
    vrrpIp: row.vrrp_ip,
    haIp: row.ha_ip,
    vrrpPortId: row.vrrp_port_id,
    vrrpInterface: row.vrrp_interface,
    facts: row.facts,
    certExpiresAt: row.cert_expires_at,
    appliedRevision: row.applied_revision,
    choice:
      row.origin === null || row.choice_reason === null ? null : { origin: row.origin, reason: row.choice_reason },
    fault:
      row.fault_reason === null || row.fault_message === null
        ? null
        : { reason: row.fault_reason, message: row.fault_message },
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}
