/** What `loadbalancer member …` does. The pool comes first in all of them. */
import { Member, type Pool, MemberServiceService as service } from '@octavia/proto';
import { CliError, EXIT } from '../errors.ts';
import type { Action } from '../grammar.ts';
import {
  type AdminStateOptions,
  adminStateUp,
  type TagChangeOptions,
  type TagRemovalOptions,
  type WaitOptions,
} from '../options.ts';
import type { Session } from '../session.ts';
import { change, changedTags, etagFor, remainingTags, type Values } from './change.ts';
import type { FilterOptions } from './filter.ts';
import { listAction } from './list.ts';
import { pools } from './pool.ts';
import { byName, commonView, find, orNull, type Resource, settle, showCreated, timeView } from './resource.ts';

/** The contract's default weight. */
const DEFAULT_WEIGHT = 1;

export const members: Resource<Member> = {
  noun: 'member',
  get: (session, id) => session.call(service.getMember, { id }),
  async page(session, { projectId, name, parentId, pageSize, pageToken }) {
    const query = { projectId, name, poolId: parentId, pageSize, pageToken };
    const reply = await session.call(service.listMembers, query);
    return { items: reply.members, nextPageToken: reply.nextPageToken };
  },
  loadBalancerId: (member) => member.loadBalancerId,
  view: (member) =>
    byName({
      ...commonView(member),
      project_id: member.projectId,
      pool_id: member.poolId,
      address: member.address,
      protocol_port: member.protocolPort,
      weight: member.weight ?? DEFAULT_WEIGHT,
      backup: member.backup ?? false,
      subnet_id: orNull(member.subnetId),
      monitor_address: orNull(member.monitorAddress),
      monitor_port: member.monitorPort || null,
      created_at: timeView(member.createdAt),
      updated_at: timeView(member.updatedAt),
    }),
  columns: [
    'id',
    'name',
    'project_id',
    'provisioning_status',
    'address',
    'protocol_port',
    'operating_status',
    'weight',
  ],
  get known() {
    return Object.keys(this.view(Member.create()));
  },
};

/** Finds a member of this very pool. @throws CliError MEMBER_NOT_FOUND */
async function findMember(session: Session, poolReference: string, reference: string): Promise<Member> {
  const pool: Pool = await find(session, pools, poolReference);
  const member = await find(session, members, reference, pool.id);
  if (member.poolId === pool.id) return member;
  throw new CliError(`The pool ${poolReference} has no member ${reference}.`, {
    exitCode: EXIT.notFound,
    reason: 'MEMBER_NOT_FOUND',
    details: { pool_id: pool.id, reference },
  });
}

interface MemberOptions extends AdminStateOptions, WaitOptions {
  readonly name?: string;
  readonly weight?: number;
  readonly enableBackup?: true;
  readonly disableBackup?: true;
  readonly backup?: true;
  readonly monitorAddress?: string;
  readonly monitorPort?: number;
}

type CreateOptions = MemberOptions & {
  readonly address: string;
  readonly protocolPort: number;
  readonly subnetId?: string;
  readonly tag?: string[];
};

export const create: Action<CreateOptions> = async (session, [poolReference = ''], options) => {
  const pool = await find(session, pools, poolReference);
  const created = await session.change(service.createMember, {
    member: Member.create({
      ...settings(options),
      poolId: pool.id,
      address: options.address,
      protocolPort: options.protocolPort,
      subnetId: options.subnetId,
      tags: options.tag,
    }),
    requestId: session.requestId,
  });
  await showCreated(session, members, created, options);
};

/** What `create` and `set` share. */
function settings(options: MemberOptions): Values<Member> {
  const isBackup = options.backup || options.enableBackup;
  return {
    name: options.name,
    adminStateUp: adminStateUp(options),
    weight: options.weight,
    backup: isBackup ? true : options.disableBackup && false,
    monitorAddress: options.monitorAddress,
    monitorPort: options.monitorPort,
  };
}

export const list = listAction<Member, FilterOptions>(
  members,
  async (session, [poolReference = '']) => (await find(session, pools, poolReference)).id,
);

export const show: Action<object> = async (session, [poolReference = '', reference = '']) => {
  await session.printObject(members.view(await findMember(session, poolReference, reference)));
};

export const set: Action<MemberOptions & TagChangeOptions> = async (
  session,
  [poolReference = '', reference = ''],
  options,
) => {
  const old = await findMember(session, poolReference, reference);
  await update(session, old, { ...settings(options), tags: changedTags(old, options) }, options);
};

type UnsetOptions = TagRemovalOptions &
  WaitOptions & { readonly [Name in 'name' | 'weight' | 'backup' | 'monitorAddress' | 'monitorPort']?: true };

export const unset: Action<UnsetOptions> = async (session, [poolReference = '', reference = ''], options) => {
  const old = await findMember(session, poolReference, reference);
  const wanted: Values<Member> = {
    name: options.name && '',
    weight: options.weight && DEFAULT_WEIGHT,
    backup: options.backup && false,
    monitorAddress: options.monitorAddress && '',
    monitorPort: options.monitorPort && 0, // The contract's "as protocol_port".
    tags: remainingTags(old, options),
  };
  await update(session, old, wanted, options);
};

async function update(session: Session, old: Member, wanted: Values<Member>, options: WaitOptions): Promise<void> {
  const { values, updateMask } = change(wanted);
  const changed = await session.change(service.updateMember, {
    member: Member.create({ ...values, id: old.id, etag: etagFor(old, wanted.tags) }),
    updateMask,
    requestId: session.requestId,
  });
  await settle(session, members, changed, 'in place', options);
}

export const remove: Action<WaitOptions> = async (session, [poolReference = '', reference = ''], options) => {
  const { id } = await findMember(session, poolReference, reference);
  const deleted = await session.change(service.deleteMember, { id, etag: '', requestId: session.requestId });
  await settle(session, members, deleted, 'gone', options);
};
