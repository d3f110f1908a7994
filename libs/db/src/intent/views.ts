import { NotFound, nounOf, type ObjectOf, type OperatingStatus } from '@octavia/domain';
import type { Tx } from '../core/database.ts';
import type { Scope } from './load-balancers.ts';
import { afterOf, type Filters, pageToken } from './page-token.ts';
import { type Table, tables } from './table.ts';

/** An object with what a caller sees beside it. Ids of objects that are being deleted are left out. */
export interface View<T> {
  readonly object: T;
  /** As the data plane last said; null: nothing yet. */
  readonly operatingStatus: OperatingStatus | null;
  readonly related: Related;
}

export interface Related {
  /** Of a load balancer, or of a pool: those whose default pool it is. */
  readonly listenerIds: readonly string[];
  /** Of a load balancer. */
  readonly poolIds: readonly string[];
  /** Of a pool. */
  readonly memberIds: readonly string[];
  /** Of a pool, or of a member: that of its pool. */
  readonly healthMonitorId: string | null;
  /** Of a load balancer: newest revision that all of its amphorae serve; 0: none yet. */
  readonly servedRevision: number;
}

/** What stands beside an object that has nothing near. */
export const NO_RELATIVES: Related = {
  listenerIds: [],
  poolIds: [],
  memberIds: [],
  healthMonitorId: null,
  servedRevision: 0,
};

export interface Listing {
  readonly scope: Scope;
  /** Exactly this name; null: any. */
  readonly name: string | null;
  /** Id of the parent; null: any. */
  readonly parentId: string | null;
  /** 1 to 1000. */
  readonly pageSize: number;
  /** Of the previous page; empty: from the start. */
  readonly pageToken: string;
}

export interface Page<T> {
  readonly items: readonly T[];
  /** Empty: the last page. */
  readonly nextPageToken: string;
}

const alive = `provisioning_status <> 'PENDING_DELETE'`;
const ids = (table: string, column: string): string =>
  `ARRAY(SELECT id FROM ${table} WHERE ${column} = o.id AND ${alive} ORDER BY id)`;

/** SQL for what stands beside an object of each kind, and the column of its parent. */
const KINDS: Readonly<Record<keyof ObjectOf, { readonly beside: readonly string[]; readonly parent: string | null }>> =
  {
    load_balancer: {
      beside: [
        `${ids('listener', 'load_balancer_id')} AS listener_ids`,
        `${ids('pool', 'load_balancer_id')} AS pool_ids`,
        `(SELECT min(s.applied_revision) FROM seat s JOIN amphora a ON a.id = s.amphora_id
        WHERE s.load_balancer_id = o.id AND s.state = 'TAKEN' AND a.status = 'ALLOCATED') AS served_revision`,
      ],
      parent: null,
    },
    listener: { beside: [], parent: 'load_balancer_id' },
    pool: {
      beside: [
        `${ids('listener', 'default_pool_id')} AS listener_ids`,
        `${ids('member', 'pool_id')} AS member_ids`,
        `(SELECT id FROM health_monitor WHERE pool_id = o.id AND ${alive}) AS health_monitor_id`,
      ],
      parent: 'load_balancer_id',
    },
    member: {
      beside: [`(SELECT id FROM health_monitor WHERE pool_id = o.pool_id AND ${alive}) AS health_monitor_id`],
      parent: 'pool_id',
    },
    health_monitor: { beside: [], parent: 'pool_id' },
  };

/** Reads for callers: each is one statement. */
export class Views {
  /**
   * @param options.deleted whether a DELETED load balancer is found, too
   * @throws NotFound also outside of the scope
   */
  async get<K extends keyof ObjectOf>(
    tx: Tx,
    kind: K,
    id: string,
    scope: Scope,
    options: { readonly deleted?: boolean } = {},
  ): Promise<View<ObjectOf[K]>> {
    const isLive = kind === 'load_balancer' && !options.deleted ? 'AND o.deleted_at IS NULL' : '';
    const rows = await tx.query(
      `${select(kind)} WHERE o.id = $1 AND ($2::text IS NULL OR o.project_id = $2) ${isLive}`,
      [id, scope],
    );
    if (rows.length === 0) throw new NotFound(nounOf(kind), id);
    return toView(kind, rows[0]);
  }

  /** Oldest first. @throws InvalidRequest when the page token is bad */
  async list<K extends keyof ObjectOf>(tx: Tx, kind: K, listing: Listing): Promise<Page<View<ObjectOf[K]>>> {
    const { scope, name, parentId, pageSize } = listing;
    const filters: Filters = { kind, scope, name, parentId, pageSize: String(pageSize) };
    const after = afterOf(listing.pageToken, filters);
    const conditions: string[] = [];
    const values: unknown[] = [];
    const where = (sql: (place: string) => string, value: unknown): void => {
      if (value === null) return;
      values.push(value);
      conditions.push(sql(`$${values.length}`));
    };
    where((place) => `o.project_id = ${place}`, scope);
    where((place) => `o.name = ${place}`, name);
    where((place) => `o.${KINDS[kind].parent} = ${place}`, KINDS[kind].parent && parentId);
    where((place) => `o.id > ${place}`, after);
    if (kind === 'load_balancer') conditions.push('o.deleted_at IS NULL');
    const condition = conditions.length > 0 ? `WHERE ${conditions.join(' AND ')}` : '';
    // One more than asked for tells whether there is another page.
    values.push(pageSize + 1);
    const rows = await tx.query(`${select(kind)} ${condition} ORDER BY o.id LIMIT $${values.length}`, values);
    const items = rows.slice(0, pageSize).map((row: Record<string, unknown>) => toView(kind, row));
    const last: View<ObjectOf[K]> | undefined = items.at(-1);
    return { items, nextPageToken: rows.length > pageSize && last ? pageToken(last.object.id, filters) : '' };
  }

  /** Operating statuses of everything in a load balancer, by id of the object. */
  async operatingStatuses(tx: Tx, loadBalancerId: string): Promise<Map<string, OperatingStatus>> {
    const rows = await tx.query('SELECT object_id, status FROM operating_status WHERE load_balancer_id = $1', [
      loadBalancerId,
    ]);
    return new Map(rows.map((row: { object_id: string; status: OperatingStatus }) => [row.object_id, row.status]));
  }
}

function select(kind: keyof ObjectOf): string {
  const columns = [
    tables[kind].columns('o'),
    '(SELECT status FROM operating_status WHERE object_id = o.id) AS operating_status',
    ...KINDS[kind].beside,
  ];
  return `SELECT ${columns.join(', ')} FROM ${kind} o`;
}

function toView<K extends keyof ObjectOf>(kind: K, row: Record<string, unknown>): View<ObjectOf[K]> {
  const table = tables[kind] as unknown as Table<ObjectOf[K]>;
  return {
    object: table.read(row),
    operatingStatus: row.operating_status as OperatingStatus | null,
    related: {
      listenerIds: (row.listener_ids ?? []) as string[],
      poolIds: (row.pool_ids ?? []) as string[],
      memberIds: (row.member_ids ?? []) as string[],
      healthMonitorId: (row.health_monitor_id ?? null) as string | null,
      servedRevision: (row.served_revision ?? 0) as number,
    },
  };
}
