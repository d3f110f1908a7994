/** What the handlers of flavors, availability zones and their profiles have in common. */
import { createHash } from 'node:crypto';
import { type ChangedBy, Idempotency, type New, type Page, type Tx } from '@octavia/db';
import { type Caller, InvalidRequest, NotFound, type Offered } from '@octavia/domain';
import { v7 as uuidv7 } from 'uuid';
import { requireAdmin } from '../authorize.ts';
import { applyUpdate, type Paths } from '../check/update-mask.ts';
import { Violations } from '../check/violations.ts';
import type { Parts } from '../parts.ts';
import { readPageSize } from '../replies.ts';
import type { Said } from '../translate/offer.ts';

const idempotency = new Idempotency();

/** The part of a repository of @octavia/db that the handlers need. */
interface Repository<T extends Offered> {
  readonly noun: string;
  insert(tx: Tx, offer: New<T>): Promise<T>;
  get(tx: Tx, id: string): Promise<T>;
  getByName(tx: Tx, name: string): Promise<T>;
  lockMatching(tx: Tx, id: string, etag: string): Promise<T>;
  isUsed(tx: Tx, id: string): Promise<boolean>;
  inUse(name: string, advice: string): Error;
  update(tx: Tx, locked: T, fields: Partial<T>, by: ChangedBy): Promise<T>;
  delete(tx: Tx, id: string, etag: string): Promise<void>;
  list(
    tx: Tx,
    listing: { readonly name: string | null; readonly pageSize: number; readonly pageToken: string },
  ): Promise<Page<T>>;
}

/** One kind of offer or profile. */
export interface OfferKind<T extends Offered, M extends object> {
  readonly repository: Repository<T>;
  /** The field of requests that has it, such as `flavor_profile`. */
  readonly field: string;
  /** By what callers name one. */
  readonly key: 'id' | 'name';
  readonly paths: Paths;
  read(message: M, check: Violations): Said<T>;
  write(offer: T): M;
}

interface CreateCall {
  readonly method: string;
  readonly requestId: string;
  serialise(): Uint8Array;
}

/** Creates one, once for each request id. @throws InvalidRequest, RoleRequired, AlreadyExists */
export async function createOffer<T extends Offered, M extends object>(
  { db }: Parts,
  kind: OfferKind<T, M>,
  message: M,
  call: CreateCall,
  caller: Caller,
): Promise<M> {
  const { repository } = kind;
  requireAdmin(caller, `Creating a ${repository.noun}`);
  const check = new Violations(kind.field);
  const said = kind.read(message, check);
  check.finish();
  const requestId = readRequestId(call.requestId);
  const by = { author: caller.userId, requestId: caller.requestId };
  return db.transaction(async (tx) => {
    const id = uuidv7();
    const first = requestId && (await claim(tx, call, requestId, id, caller));
    if (first) return kind.write(await repository.get(tx, first));
    try {
      return kind.write(await repository.insert(tx, { ...said, ...by, id, revision: 1 } as unknown as New<T>));
    } catch (error) {
      // The only thing that an offer refers to is its profile.
      if (!(error instanceof NotFound)) throw error;
      const field = `${kind.field}.${kind.field}_profile_id`;
      throw new InvalidRequest([{ field, reason: error.reason, description: 'names no profile' }]);
    }
  });
}

/** @throws NotFound, InvalidRequest */
export async function getOffer<T extends Offered, M extends object>(
  { db }: Parts,
  kind: OfferKind<T, M>,
  key: string,
): Promise<M> {
  return kind.write(await find(db.reader, kind, kind.key, key));
}

/** One page, oldest first. @throws InvalidRequest */
export async function listOffers<T extends Offered, M extends object>(
  { db }: Parts,
  kind: OfferKind<T, M>,
  request: { readonly pageSize: number; readonly pageToken: string; readonly name: string },
): Promise<Page<M>> {
  const check = new Violations();
  const listing = {
    name: check.text('name', request.name) || null,
    pageSize: readPageSize(request.pageSize, check),
    pageToken: request.pageToken,
  };
  check.finish();
  const page = await kind.repository.list(db.reader, listing);
  return { items: page.items.map((offer) => kind.write(offer)), nextPageToken: page.nextPageToken };
}

interface UpdateRequest<M> {
  readonly message: M & { readonly etag: string };
  /** Whose new values these are. */
  readonly key: string;
  readonly updateMask: readonly string[] | undefined;
}

/**
 * Changes one.
 * @param assertFree refuses a change that its use forbids
 * @throws NotFound, EtagMismatch, InvalidRequest, RoleRequired, AlreadyExists, InUse
 */
export async function updateOffer<T extends Offered, M extends object>(
  { db }: Parts,
  kind: OfferKind<T, M>,
  { message, key, updateMask }: UpdateRequest<M>,
  caller: Caller,
  assertFree: (tx: Tx, locked: T, wanted: Said<T>) => Promise<void> = async () => {},
): Promise<M> {
  const { repository } = kind;
  requireAdmin(caller, `Changing a ${repository.noun}`);
  return db.transaction(async (tx) => {
    const { id } = await find(tx, kind, `${kind.field}.${kind.key}`, key);
    const locked = await repository.lockMatching(tx, id, message.etag);
    const check = new Violations(kind.field);
    const merged = applyUpdate(kind.paths, kind.write(locked), message as M, updateMask, check);
    const wanted = kind.read(merged, check);
    check.finish();
    await assertFree(tx, locked, wanted);
    const by = { author: caller.userId, requestId: caller.requestId };
    return kind.write(await repository.update(tx, locked, wanted as unknown as Partial<T>, by));
  });
}

/** Deletes one, and returns it as it was. @throws NotFound, EtagMismatch, RoleRequired, InUse */
export async function deleteOffer<T extends Offered, M extends object>(
  { db }: Parts,
  kind: OfferKind<T, M>,
  key: string,
  etag: string,
  caller: Caller,
): Promise<M> {
  requireAdmin(caller, `Deleting a ${kind.repository.noun}`);
  return db.transaction(async (tx) => {
    const old = await find(tx, kind, kind.key, key);
    await kind.repository.delete(tx, old.id, etag);
    return kind.write(old);
  });
}

/** Refuses new data of a profile that is in use. What its offers mean does not change under those who chose them. */
export function frozenWhileUsed<T extends Offered & { readonly provider: string; readonly data: object }>(
  repository: Repository<T>,
) {
  return async (tx: Tx, locked: T, wanted: { readonly provider: string; readonly data: object }): Promise<void> => {
    const isSame = locked.provider === wanted.provider && sorted(locked.data) === sorted(wanted.data);
    if (isSame || !(await repository.isUsed(tx, locked.id))) return;
    throw repository.inUse(locked.name, 'Its provider and data cannot be changed: create another profile.');
  };
}

function sorted(data: object): string {
  return JSON.stringify(Object.entries(data).sort(([one], [other]) => (one < other ? -1 : 1)));
}

async function find<T extends Offered, M extends object>(
  tx: Tx,
  { repository, key }: OfferKind<T, M>,
  field: string,
  value: string,
): Promise<T> {
  const check = new Violations();
  const read = key === 'id' ? check.uuid(field, value) : check.text(field, value);
  if (key === 'name' && value === '') check.add(field, 'REQUIRED', 'is required');
  check.finish();
  return key === 'id' ? repository.get(tx, read) : repository.getByName(tx, read);
}

function readRequestId(value: string): string | null {
  const check = new Violations();
  const id = check.optionalUuid('request_id', value);
  check.finish();
  return id;
}

function claim(tx: Tx, call: CreateCall, requestId: string, id: string, caller: Caller): Promise<string | null> {
  return idempotency.claim(tx, {
    projectId: caller.projectId,
    requestId,
    method: call.method,
    hash: createHash('sha256').update(call.serialise()).digest(),
    objectId: id,
  });
}
