import { Events, LoadBalancers, type Scope } from '@octavia/db';
import { type Caller, compare, type Difference, type Fields, RollbackNotPossible, type Wanted } from '@octavia/domain';
import { RollbackLoadBalancerRequest, type RollbackLoadBalancerResponse } from '@octavia/proto';
import { writeScope } from '../authorize.ts';
import type { ChangeContext } from '../changes.ts';
import { Violations } from '../check/violations.ts';
import { History } from '../history.ts';
import type { Parts } from '../parts.ts';
import { assertStillFits } from '../rollback/still-fits.ts';
import { WayBack } from '../rollback/way-back.ts';
import { writeDifference } from '../translate/revision.ts';

const loadBalancers = new LoadBalancers();
const events = new Events();

/** Ends a transaction that was only to check. */
class OnlyValidated extends Error {}

/** Makes a load balancer and everything below it as it was wanted at an earlier revision. */
export async function rollBack(
  parts: Parts,
  request: RollbackLoadBalancerRequest,
  caller: Caller,
): Promise<RollbackLoadBalancerResponse> {
  const scope = writeScope(caller, 'Rolling a load balancer back');
  const check = new Violations();
  const id = check.uuid('id', request.id);
  check.finish();
  await assertSubnetsAreThere(parts, id, request.revision, caller, scope);
  const call = {
    kind: 'load_balancer',
    objectId: id,
    caller,
    scope,
    method: 'RollbackLoadBalancer',
    requestId: request.requestId,
    serialise: () => RollbackLoadBalancerRequest.encode(request).finish(),
  } as const;
  let changes: readonly Difference[] = [];
  try {
    const loadBalancer = await parts.changes.run(call, async (context) => {
      changes = await goBack(parts, context, id, request, scope);
      if (request.validateOnly) throw new OnlyValidated();
    });
    return { loadBalancer, changes: changes.map(writeDifference) };
  } catch (error) {
    if (!(error instanceof OnlyValidated)) throw error;
    const loadBalancer = await parts.replies.one(parts.db.reader, 'load_balancer', id, scope);
    return { loadBalancer, changes: changes.map(writeDifference) };
  }
}

async function goBack(
  parts: Parts,
  context: ChangeContext,
  id: string,
  { revision, etag }: RollbackLoadBalancerRequest,
  scope: Scope,
): Promise<readonly Difference[]> {
  const { tx, by } = context;
  const begun = await loadBalancers.begin(tx, 'update', id, scope, etag);
  const history = await History.read(tx, id, revision, 'revision');
  const then = history.at(revision);
  const changes = compare(history.at(history.newest), then);
  if (changes.length === 0) return changes;
  for (const change of changes) if (change.what !== 'deleted') assertStillFits(change, then, parts.policy);
  const wayBack = new WayBack(parts.changes, context, begun, history.tree);
  await wayBack.go(changes, then);
  await parts.changes.ensurePush(context, begun);
  await events.append(tx, {
    loadBalancerId: id,
    projectId: begun.projectId,
    author: by.author,
    requestId: by.requestId,
    kind: 'rolled_back',
    objectKind: 'load_balancer',
    objectId: id,
    payload: { to: revision, changes: changes.length, revision: wayBack.newest },
    traceparent: by.traceparent,
  });
  return changes;
}

/** Members that come back may name a subnet that is gone: asked before the transaction, because another service knows. */
async function assertSubnetsAreThere(
  { db, subnets }: Parts,
  id: string,
  revision: number,
  caller: Caller,
  scope: Scope,
): Promise<void> {
  await loadBalancers.get(db.reader, id, scope);
  const history = await History.read(db.reader, id, revision, 'revision');
  const then = history.at(revision);
  const back = compare(history.at(history.newest), then).filter(({ what }) => what === 'created');
  const members = back.filter(({ kind }) => kind === 'member').map((change) => [change.id, subnetOf(then, change.id)]);
  const bySubnet = new Map(members.flatMap(([member, subnet]) => (subnet ? [[subnet, member ?? '']] : [])));
  for (const [subnetId = '', member = ''] of bySubnet) {
    await subnets.find(subnetId, caller, 'member.subnet_id').catch((error: Error) => {
      throw 'kind' in error && error.kind === 'unavailable'
        ? error
        : new RollbackNotPossible('member', member, error.message, { cause: error });
    });
  }
}

function subnetOf(then: Wanted, id: string): string | null {
  const fields: Fields = then.get(id)?.fields ?? {};
  return typeof fields.subnetId === 'string' ? fields.subnetId : null;
}
