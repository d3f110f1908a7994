import {
  type Database,
  type Listing,
  type Page,
  type PendingDetail,
  pendingDetails,
  type Scope,
  type Tx,
  type View,
  Views,
} from '@octavia/db';
import type { Caller, ObjectKind, ObjectOf } from '@octavia/domain';
import type * as proto from '@octavia/proto';
import { listScope, readScope } from './authorize.ts';
import { readId, Violations } from './check/violations.ts';
import { writeHealthMonitor } from './translate/health-monitor.ts';
import { writeListener } from './translate/listener.ts';
import { writeLoadBalancer } from './translate/load-balancer.ts';
import { writeMember } from './translate/member.ts';
import { writePool } from './translate/pool.ts';

/** The message of each kind. */
export interface MessageOf {
  readonly load_balancer: proto.LoadBalancer;
  readonly listener: proto.Listener;
  readonly pool: proto.Pool;
  readonly member: proto.Member;
  readonly health_monitor: proto.HealthMonitor;
}

type Write<K extends ObjectKind> = (view: View<ObjectOf[K]>, pending?: PendingDetail) => MessageOf[K];

const WRITERS: { readonly [K in ObjectKind]: Write<K> } = {
  load_balancer: writeLoadBalancer,
  listener: writeListener,
  pool: writePool,
  member: writeMember,
  health_monitor: writeHealthMonitor,
};

/** Sizes of a page. Source: the contract; the largest is Octavia's pagination_max_limit. */
const DEFAULT_PAGE = 50;
const MAX_PAGE = 1_000;

export interface ListRequest {
  readonly projectId: string;
  readonly pageSize: number;
  readonly pageToken: string;
  readonly name: string;
  /** Id of the parent, and the field of the request that it is in. */
  readonly parent?: { readonly field: string; readonly id: string };
}

/** What callers get to see. */
export class Replies {
  readonly #db: Database;
  readonly #views = new Views();

  constructor(db: Database) {
    this.#db = db;
  }

  /** @throws NotFound, RoleRequired, InvalidRequest */
  async get<K extends ObjectKind>(kind: K, id: string, caller: Caller): Promise<MessageOf[K]> {
    const scope = readScope(caller, 'Reading');
    return this.one(this.#db.reader, kind, readId('id', id), scope);
  }

  /**
   * @param options.deleted whether a DELETED load balancer is found, too
   * @throws NotFound
   */
  async one<K extends ObjectKind>(
    tx: Tx,
    kind: K,
    id: string,
    scope: Scope,
    options: { readonly deleted?: boolean } = {},
  ): Promise<MessageOf[K]> {
    const view = await this.#views.get(tx, kind, id, scope, options);
    const pending = await pendingDetails(tx, pendingIds([view]));
    return this.write(kind, view, pending);
  }

  /** @throws RoleRequired, InvalidRequest */
  async list<K extends ObjectKind>(kind: K, request: ListRequest, caller: Caller): Promise<Page<MessageOf[K]>> {
    const check = new Violations();
    const listing: Listing = {
      scope: listScope(caller, check.text('project_id', request.projectId), 'Listing objects of other projects'),
      name: check.text('name', request.name) || null,
      parentId: request.parent ? check.optionalUuid(request.parent.field, request.parent.id) : null,
      pageSize: readPageSize(request.pageSize, check),
      pageToken: request.pageToken,
    };
    check.finish();
    const page = await this.#views.list(this.#db.reader, kind, listing);
    const pending = await pendingDetails(this.#db.reader, pendingIds(page.items));
    return { items: page.items.map((view) => this.write(kind, view, pending)), nextPageToken: page.nextPageToken };
  }

  write<K extends ObjectKind>(
    kind: K,
    view: View<ObjectOf[K]>,
    pending: ReadonlyMap<string, PendingDetail>,
  ): MessageOf[K] {
    const write: Write<K> = WRITERS[kind];
    return write(view, pending.get(loadBalancerIdOf(view.object)));
  }
}

export function readPageSize(pageSize: number, check: Violations): number {
  if (pageSize < 0) check.add('page_size', 'OUT_OF_RANGE', 'must not be negative');
  return pageSize === 0 ? DEFAULT_PAGE : Math.min(pageSize, MAX_PAGE);
}

/** Load balancers of the objects that are pending: only those have a flow to tell of. */
function pendingIds(views: readonly View<ObjectOf[ObjectKind]>[]): string[] {
  const pending = views.filter(({ object }) => object.provisioningStatus.startsWith('PENDING'));
  return [...new Set(pending.map(({ object }) => loadBalancerIdOf(object)))];
}

function loadBalancerIdOf(object: ObjectOf[ObjectKind]): string {
  return 'loadBalancerId' in object ? object.loadBalancerId : object.id;
}
