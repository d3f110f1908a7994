/** What `loadbalancer revision …` and `loadbalancer rollback` do. */
import { LoadBalancer, type ObjectChange, Revision, RevisionServiceService as service } from '@octavia/proto';
import { usageError } from '../errors.ts';
import type { Action } from '../grammar.ts';
import type { WaitOptions } from '../options.ts';
import type { Cell, View } from '../output/format.ts';
import type { Session } from '../session.ts';
import { toWord } from '../words.ts';
import { loadBalancers } from './load-balancer.ts';
import { find, orNull, settle, timeView } from './resource.ts';

interface ListOptions {
  readonly limit?: number;
  readonly object?: string;
}

const LIMIT = 50;
/** The contract's largest page. */
const PAGE_SIZE = 1000;

const COLUMNS = ['number', 'created_at', 'author', 'action', 'object_kind', 'object_id', 'fields'];
const CHANGE_COLUMNS = ['object_kind', 'object_id', 'change', 'field', 'old', 'new'];

export const list: Action<ListOptions> = async (session, [reference = ''], options) => {
  const { id: loadBalancerId } = await find(session, loadBalancers, reference);
  const limit = options.limit ?? LIMIT;
  const found: Revision[] = [];
  let before = 0;
  do {
    const pageSize = Math.min(PAGE_SIZE, limit - found.length);
    const request = { loadBalancerId, objectId: options.object ?? '', before, pageSize };
    const page = await session.call(service.listRevisions, request);
    found.push(...page.revisions);
    before = page.nextBefore;
  } while (before !== 0 && found.length < limit);
  if (before !== 0) process.stderr.write(`Only the newest ${limit} are shown; there are more (--limit).\n`);
  await session.printList(found.map(view), COLUMNS, Object.keys(view(Revision.create())));
};

export const show: Action<object> = async (session, [reference = '', number = '']) => {
  const { id: loadBalancerId } = await find(session, loadBalancers, reference);
  const before = numberOf(number) + 1;
  const { revisions } = await session.call(service.listRevisions, {
    loadBalancerId,
    objectId: '',
    before,
    pageSize: 1,
  });
  const found = revisions[0];
  if (found?.number !== before - 1) {
    throw usageError(
      `There is no revision ${number} any more, or not yet.`,
      'List them with: loadbalancer revision list',
    );
  }
  const { format, column } = session.globals;
  if (format !== 'table' || column) await session.printObject(view(found));
  else await printChanges(session, found.changes);
};

export const compare: Action<object> = async (session, [reference = '', from = '', to = '0']) => {
  const { id: loadBalancerId } = await find(session, loadBalancers, reference);
  const request = { loadBalancerId, from: numberOf(from), to: numberOf(to) };
  await printChanges(session, (await session.call(service.compareRevisions, request)).changes);
};

interface RollbackOptions extends WaitOptions {
  readonly to: number;
  readonly dryRun?: true;
}

export const rollback: Action<RollbackOptions> = async (session, [reference = ''], options) => {
  const { id, etag } = await find(session, loadBalancers, reference);
  const request = { id, etag, revision: options.to, requestId: session.requestId };
  if (options.dryRun) {
    const { changes } = await session.call(service.rollbackLoadBalancer, { ...request, validateOnly: true });
    await printChanges(session, changes);
    return;
  }
  const { changes, loadBalancer } = await session.change(service.rollbackLoadBalancer, {
    ...request,
    validateOnly: false,
  });
  if (changes.length > 0)
    await settle(session, loadBalancers, loadBalancer ?? LoadBalancer.create(), 'in place', options);
  await printChanges(session, changes);
};

function view(revision: Revision): View {
  const [first, ...others] = revision.changes;
  return {
    number: revision.number,
    created_at: timeView(revision.createdAt),
    author: revision.author,
    action: revision.action,
    object_kind: revision.objectKind,
    object_id: revision.objectId,
    fields: revision.action === 'UPDATE' ? (first?.fields ?? []).map(({ field }) => field) : [],
    also_changed: others.map(({ objectKind, objectId }) => `${objectKind} ${objectId}`),
    changes: revision.changes.flatMap(rows),
    loadbalancer_id: revision.loadBalancerId,
    request_id: revision.requestId,
    trace_id: orNull(revision.traceId),
  };
}

/** A row for each field; what was made or deleted has one row, with its values as JSON. */
function rows({ objectKind, objectId, kind, fields }: ObjectChange): View[] {
  const object = { object_kind: objectKind, object_id: objectId, change: toWord('CHANGE_KIND', kind) };
  const cell = (value: unknown): Cell => (value ?? null) as Cell;
  if (kind === 'CHANGE_KIND_UPDATED') {
    return fields.map(({ field, oldValue, newValue }) => ({
      ...object,
      field,
      old: cell(oldValue),
      new: cell(newValue),
    }));
  }
  const isNew = kind === 'CHANGE_KIND_CREATED';
  const values = Object.fromEntries(
    fields.map(({ field, oldValue, newValue }) => [field, cell(isNew ? newValue : oldValue)] as const),
  );
  return [{ ...object, field: null, old: isNew ? null : values, new: isNew ? values : null }];
}

async function printChanges(session: Session, changes: readonly ObjectChange[]): Promise<void> {
  const views = changes.flatMap(rows);
  const isForPeople = session.globals.format === 'table';
  // A whole object is wide, and its name says most.
  const shown = views.map((row) => (isForPeople ? { ...row, old: brief(row.old), new: brief(row.new) } : row));
  await session.printList(shown, CHANGE_COLUMNS, CHANGE_COLUMNS);
}

function brief(cell: Cell | undefined): Cell {
  if (cell === null || cell === undefined || typeof cell !== 'object' || Array.isArray(cell)) return cell ?? null;
  const { name } = cell as { readonly name?: Cell };
  return name === undefined ? cell : `name ${JSON.stringify(name)}`;
}

function numberOf(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw usageError(`${text} is no number of a revision.`, 'Give a number such as 12.');
  return Number(text);
}
