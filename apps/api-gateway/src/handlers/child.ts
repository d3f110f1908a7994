import { assertEtag, type ChangedBy, type ChildKind, type Locked, type Scope, type Tx } from '@octavia/db';
import { begin, type Caller, type Delta, isBeingDeleted, type LoadBalancer, type ObjectOf } from '@octavia/domain';
import { writeScope } from '../authorize.ts';
import type { ChangeContext } from '../changes.ts';
import { readId } from '../check/violations.ts';
import type { Parts } from '../parts.ts';
import type { MessageOf } from '../replies.ts';

/** Fields of every object that is new below a load balancer. */
export function newChild(id: string, begun: LoadBalancer, by: ChangedBy) {
  return {
    id,
    projectId: begun.projectId,
    loadBalancerId: begun.id,
    author: by.author,
    requestId: by.requestId,
    provisioningStatus: 'PENDING_CREATE',
    fault: null,
    revision: begun.desiredRevision,
    appliedRevision: 0,
  } as const;
}

interface DeleteRequest {
  readonly id: string;
  readonly etag: string;
  readonly requestId: string;
}

interface Repository<K extends ChildKind> {
  readonly kind: K;
  lock(tx: Tx, id: string, scope: Scope): Promise<Locked<ObjectOf[K]>>;
}

/**
 * Deletes something below a load balancer: `mark` marks the rows and returns what else changed. What is being deleted already is
 * answered in the same way again.
 */
export async function removeChild<K extends ChildKind>(
  parts: Parts,
  method: string,
  repository: Repository<K>,
  request: DeleteRequest,
  caller: Caller,
  mark: (context: ChangeContext, begun: LoadBalancer, id: string) => Promise<Delta>,
): Promise<MessageOf[K]> {
  const scope = writeScope(caller, 'Deleting');
  const id = readId('id', request.id);
  const { kind } = repository;
  // All delete requests below a load balancer have the same fields.
  const serialise = (): Uint8Array => Buffer.from(JSON.stringify([id, request.etag]));
  const call = { kind, objectId: id, caller, scope, method, requestId: request.requestId, serialise };
  return parts.changes.run(call, async (context) => {
    const { loadBalancer, object } = await repository.lock(context.tx, id, scope);
    if (isBeingDeleted(object)) return;
    const begun = begin('update', loadBalancer);
    assertEtag(object, request.etag);
    const changes = await mark(context, begun, id);
    await parts.changes.push(context, begun, { objectKind: kind, objectId: id, action: 'DELETE', changes });
  });
}
