/** What every kind of object has in common, and the commands that are therefore the same for all. */
import type { OperatingStatus, ProvisioningStatus, StatusDetail } from '@octavia/proto';
import { isNotFound } from '../connection/connection.ts';
import { CliError, EXIT, usageError } from '../errors.ts';
import type { WaitOptions } from '../options.ts';
import type { Cell, View } from '../output/format.ts';
import type { Session } from '../session.ts';
import { type Goal, waitFor } from '../wait.ts';
import { toWord } from '../words.ts';

/** An object with a provisioning status. */
export interface Settling {
  readonly id: string;
  readonly name?: string | undefined;
  readonly adminStateUp?: boolean | undefined;
  readonly tags: string[];
  readonly provisioningStatus: ProvisioningStatus;
  readonly operatingStatus: OperatingStatus;
  readonly statusDetail?: StatusDetail | undefined;
  readonly etag: string;
}

/** What a list is asked for. Empty strings: all. */
export interface Query {
  readonly projectId: string;
  readonly name: string;
  /** The load balancer or pool whose objects are meant. */
  readonly parentId: string;
  readonly pageSize: number;
  readonly pageToken: string;
}

export interface Page<T> {
  readonly items: readonly T[];
  readonly nextPageToken: string;
}

/** One kind of object. */
export interface Resource<T> {
  /** In lower case, such as `health monitor`. */
  readonly noun: string;
  get(session: Session, id: string): Promise<T>;
  page(session: Session, query: Query): Promise<Page<T>>;
  loadBalancerId(object: T): string;
  view(object: T): View;
  /** Of lists, as the OpenStack client shows them. */
  readonly columns: readonly string[];
  /** All that a list may show. */
  readonly known: readonly string[];
}

/** How many objects one page has; the contract's largest. */
const PAGE_SIZE = 1000;
/** How many objects a list shows unless told otherwise. */
export const LIST_LIMIT = 10_000;
/** How many objects of one name are named when a name is not enough. */
const AMBIGUOUS_SHOWN = 20;

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

export function isUuid(text: string): boolean {
  return UUID.test(text);
}

/**
 * Finds an object by its id or its name.
 * @throws CliError NOT_FOUND (exit code 3) or AMBIGUOUS_NAME
 */
export async function find<T extends { id: string }>(
  session: Session,
  resource: Resource<T>,
  reference: string,
  parentId = '',
): Promise<T> {
  if (UUID.test(reference)) {
    try {
      return await resource.get(session, reference);
    } catch (error) {
      if (!isNotFound(error)) throw error; // A name may look like an id.
    }
  }
  if (reference === '') throw usageError(`An empty text names no ${resource.noun}.`);
  const projectId = session.globals.project ?? '';
  const query = { projectId, name: reference, parentId, pageSize: AMBIGUOUS_SHOWN, pageToken: '' };
  const { items, nextPageToken } = await resource.page(session, query);
  const [first, ...others] = items;
  if (first && others.length === 0) return first;
  if (!first) {
    throw new CliError(`There is no ${resource.noun} ${reference}.`, {
      exitCode: EXIT.notFound,
      reason: `${resource.noun.toUpperCase().replaceAll(' ', '_')}_NOT_FOUND`,
      details: { reference },
    });
  }
  const ids = items.map(({ id }) => id);
  const more = nextPageToken ? ' and more' : '';
  throw new CliError(`More than one ${resource.noun} is named ${reference}: ${ids.join(', ')}${more}.`, {
    reason: 'AMBIGUOUS_NAME',
    hint: 'Use the id of the one that you mean.',
    details: { reference, ids },
  });
}

/** Reads all pages, up to `limit` objects. */
export async function collectPages<T>(
  session: Session,
  resource: Resource<T>,
  query: Partial<Pick<Query, 'name' | 'parentId'>>,
  limit = LIST_LIMIT,
): Promise<T[]> {
  const found: T[] = [];
  let pageToken = '';
  do {
    const page = await resource.page(session, {
      projectId: session.globals.project ?? '',
      name: query.name ?? '',
      parentId: query.parentId ?? '',
      pageSize: Math.min(PAGE_SIZE, limit - found.length),
      pageToken,
    });
    found.push(...page.items);
    pageToken = page.nextPageToken;
  } while (pageToken !== '' && found.length < limit);
  if (pageToken !== '') process.stderr.write(`Only the first ${limit} are shown; there are more (--limit).\n`);
  return found;
}

/** After a change: waits if asked to, and gives the newest state (undefined: gone). */
export async function settle<T extends Settling>(
  session: Session,
  resource: Resource<T>,
  changed: T,
  goal: Goal,
  options: WaitOptions,
): Promise<T | undefined> {
  return options.wait ? waitFor(session, resource, changed, goal, options) : changed;
}

/** After a creation: waits if asked to, and shows what there is now. */
export async function showCreated<T extends Settling>(
  session: Session,
  resource: Resource<T>,
  created: T,
  options: WaitOptions,
): Promise<void> {
  const newest = await settle(session, resource, created, 'in place', options);
  await session.printObject(resource.view(newest ?? created));
}

/** The columns that all objects share, before and after their own. */
export function commonView(object: Settling): {
  id: string;
  name: string;
  admin_state_up: boolean;
  provisioning_status: Cell;
  operating_status: Cell;
  tags: string[];
  status_detail: Cell;
} {
  return {
    id: object.id,
    name: object.name ?? '',
    admin_state_up: object.adminStateUp ?? true,
    provisioning_status: toWord('PROVISIONING_STATUS', object.provisioningStatus),
    operating_status: toWord('OPERATING_STATUS', object.operatingStatus),
    tags: object.tags,
    status_detail: detailView(object.statusDetail),
  };
}

/** Only what says something; null when nothing does. */
function detailView(detail: StatusDetail | undefined): Cell {
  if (!detail) return null;
  const said = Object.entries({
    reason: detail.reason,
    message: detail.message,
    flow: detail.flow,
    flow_id: detail.flowId,
    step: detail.step,
    attempt: detail.attempt,
    waiting_for: detail.waitingFor,
    last_error: detail.lastError,
    next_try_at: timeView(detail.nextTryAt),
    deadline_at: timeView(detail.deadlineAt),
    trace_id: detail.traceId,
  }).filter(([, value]) => value !== '' && value !== 0 && value !== null);
  return said.length === 0 ? null : Object.fromEntries(said);
}

/** UTC without zone and fraction, as Octavia writes times. */
export function timeView(time: Date | undefined): string | null {
  return time ? time.toISOString().slice(0, 19) : null;
}

/** Sorts the columns by name, as the OpenStack client does when it shows one object. */
export function byName(view: View): View {
  return Object.fromEntries(Object.entries(view).sort(([one], [other]) => (one < other ? -1 : 1)));
}

/** The contract says "none" by an empty text. */
export function orNull(text: string | undefined): string | null {
  return text ? text : null;
}
