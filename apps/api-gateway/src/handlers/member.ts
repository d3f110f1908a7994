import { Members, NO_RELATIVES, Pools } from '@octavia/db';
import { type Caller, changed, deletionOf, deltaOf } from '@octavia/domain';
import {
  CreateMemberRequest,
  type DeleteMemberRequest,
  type MemberServiceService,
  Member as Message,
  UpdateMemberRequest,
} from '@octavia/proto';
import { type Handlers, unary } from '@octavia/service';
import { v7 as uuidv7 } from 'uuid';
import { writeScope } from '../authorize.ts';
import { checkReachable } from '../check/reachable.ts';
import { applyUpdate } from '../check/update-mask.ts';
import { readId, Violations } from '../check/violations.ts';
import type { Parts } from '../parts.ts';
import { MEMBER_PATHS, readMember, writeMember } from '../translate/member.ts';
import { newChild, removeChild } from './child.ts';

const pools = new Pools();
const members = new Members();

export function memberHandlers(parts: Parts): Handlers<typeof MemberServiceService> {
  return {
    createMember: unary((request, { caller }) => create(parts, request, caller)),
    getMember: unary(({ id }, { caller }) => parts.replies.get('member', id, caller)),
    listMembers: unary(async (request, { caller }) => {
      const parent = { field: 'pool_id', id: request.poolId };
      const { items, nextPageToken } = await parts.replies.list('member', { ...request, parent }, caller);
      return { members: [...items], nextPageToken };
    }),
    updateMember: unary((request, { caller }) => update(parts, request, caller)),
    deleteMember: unary((request, { caller }) => remove(parts, request, caller)),
  };
}

async function create(parts: Parts, request: CreateMemberRequest, caller: Caller): Promise<Message> {
  const scope = writeScope(caller, 'Creating a member');
  const check = new Violations('member');
  const wanted = readMember(request.member ?? Message.fromPartial({}), parts.policy.reservedIps, check);
  check.finish();
  if (wanted.subnetId !== null) await parts.subnets.find(wanted.subnetId, caller, 'member.subnet_id');
  const id = uuidv7();
  const call = {
    kind: 'member',
    objectId: id,
    caller,
    scope,
    method: 'CreateMember',
    requestId: request.requestId,
    serialise: () => CreateMemberRequest.encode(request).finish(),
  } as const;
  return parts.changes.run(call, async (context) => {
    const { tx, by } = context;
    const { loadBalancer } = await pools.begin(tx, wanted.poolId, scope);
    await checkReachable(tx, wanted);
    const created = await members.insert(tx, { ...wanted, ...newChild(id, loadBalancer, by) });
    const changes = deltaOf(null, created);
    const revision = { objectKind: 'member', objectId: id, action: 'CREATE', changes } as const;
    await parts.changes.push(context, loadBalancer, revision, 'member');
  });
}

async function update(parts: Parts, request: UpdateMemberRequest, caller: Caller): Promise<Message> {
  const scope = writeScope(caller, 'Changing a member');
  const message = request.member ?? Message.fromPartial({});
  const id = readId('member.id', message.id);
  const call = {
    kind: 'member',
    objectId: id,
    caller,
    scope,
    method: 'UpdateMember',
    requestId: request.requestId,
    serialise: () => UpdateMemberRequest.encode(request).finish(),
  } as const;
  return parts.changes.run(call, async (context) => {
    const { tx, by } = context;
    const { loadBalancer, object } = await members.begin(tx, id, scope, message.etag);
    const check = new Violations('member');
    const current = writeMember({ object, operatingStatus: null, related: NO_RELATIVES });
    const merged = applyUpdate(MEMBER_PATHS, current, message, request.updateMask, check);
    const wanted = readMember(merged, parts.policy.reservedIps, check);
    check.finish();
    await checkReachable(tx, wanted);
    const fields = { ...wanted, provisioningStatus: changed(object) };
    const updated = await members.update(tx, loadBalancer, id, fields, by);
    const changes = deltaOf(object, updated);
    await parts.changes.push(context, loadBalancer, { objectKind: 'member', objectId: id, action: 'UPDATE', changes });
  });
}

async function remove(parts: Parts, request: DeleteMemberRequest, caller: Caller): Promise<Message> {
  return removeChild(parts, 'DeleteMember', members, request, caller, async ({ tx, by }, begun, id) => {
    const [gone] = await members.markDeleting(tx, begun, by, 'id', id);
    return deletionOf(gone ?? {});
  });
}
