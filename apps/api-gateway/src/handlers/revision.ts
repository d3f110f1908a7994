import { LoadBalancers, Revisions } from '@octavia/db';
import { type Caller, compare } from '@octavia/domain';
import type {
  CompareRevisionsRequest,
  CompareRevisionsResponse,
  ListRevisionsRequest,
  ListRevisionsResponse,
  RevisionServiceService,
} from '@octavia/proto';
import { type Handlers, unary } from '@octavia/service';
import { readScope } from '../authorize.ts';
import { Violations } from '../check/violations.ts';
import { assertRevision, History } from '../history.ts';
import type { Parts } from '../parts.ts';
import { readPageSize } from '../replies.ts';
import { writeDifference, writeRevision } from '../translate/revision.ts';
import { rollBack } from './rollback.ts';

const loadBalancers = new LoadBalancers();
const revisions = new Revisions();

export function revisionHandlers(parts: Parts): Handlers<typeof RevisionServiceService> {
  return {
    listRevisions: unary((request, { caller }) => list(parts, request, caller)),
    compareRevisions: unary((request, { caller }) => compareTwo(parts, request, caller)),
    rollbackLoadBalancer: unary((request, { caller }) => rollBack(parts, request, caller)),
  };
}

async function list({ db }: Parts, request: ListRevisionsRequest, caller: Caller): Promise<ListRevisionsResponse> {
  const scope = readScope(caller, 'Reading revisions');
  const check = new Violations();
  const loadBalancerId = check.uuid('load_balancer_id', request.loadBalancerId);
  const objectId = check.optionalUuid('object_id', request.objectId);
  const limit = readPageSize(request.pageSize, check);
  if (request.before < 0) check.add('before', 'OUT_OF_RANGE', 'must not be negative');
  check.finish();
  const { id } = await loadBalancers.get(db.reader, loadBalancerId, scope);
  const before = request.before === 0 ? null : request.before;
  // One more tells whether there is another page.
  const found = await revisions.list(db.reader, id, { before, objectId, limit: limit + 1 });
  const page = found.slice(0, limit);
  return {
    revisions: page.map((record) => writeRevision(id, record)),
    nextBefore: found.length > limit ? (page.at(-1)?.number ?? 0) : 0,
  };
}

async function compareTwo(
  { db }: Parts,
  request: CompareRevisionsRequest,
  caller: Caller,
): Promise<CompareRevisionsResponse> {
  const scope = readScope(caller, 'Reading revisions');
  const check = new Violations();
  const loadBalancerId = check.uuid('load_balancer_id', request.loadBalancerId);
  check.finish();
  const { id, desiredRevision } = await loadBalancers.get(db.reader, loadBalancerId, scope);
  const { from } = request;
  const to = request.to === 0 ? desiredRevision : request.to;
  assertRevision(from, desiredRevision, 'from');
  assertRevision(to, desiredRevision, 'to');
  const history = await History.read(db.reader, id, Math.min(from, to), 'from');
  return { changes: compare(history.at(from), history.at(to)).map(writeDifference), to };
}
