import { Metadata } from '@grpc/grpc-js';
import { type Caller, type FieldViolation, InvalidRequest } from '@octavia/domain';
import { v7 as newUuid } from 'uuid';

/** Metadata keys by which a client says for whom it calls. */
export const CALLER_KEYS = {
  projectId: 'x-project-id',
  userId: 'x-user-id',
  roles: 'x-roles',
  requestId: 'x-request-id',
} as const;

/** Longest project or user id, in characters. Source: Keystone, 64; room for other systems. */
const MAX_ID = 255;
/** Longest list of roles, in characters and in roles. */
const MAX_ROLES_TEXT = 4_096;
const MAX_ROLES = 64;

const UUID = /^(?:req-)?([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})$/i;

/**
 * Reads the caller from the client's certificate and metadata. A request id is made when the client gave none.
 * @throws InvalidRequest with every bad key
 */
export function callerOf(client: string, metadata: Metadata): Caller {
  const violations: FieldViolation[] = [];
  const read = (key: string, max: number): string => {
    const values = metadata.get(key);
    const value = values.map(String).join(',');
    if (value.length <= max) return value.trim();
    violations.push({ field: key, description: `must have at most ${max} characters`, reason: 'TOO_LONG' });
    return '';
  };
  const projectId = read(CALLER_KEYS.projectId, MAX_ID);
  const userId = read(CALLER_KEYS.userId, MAX_ID);
  const roles = read(CALLER_KEYS.roles, MAX_ROLES_TEXT)
    .split(',')
    .map((role) => role.trim())
    .filter((role) => role !== '');
  const requestId = read(CALLER_KEYS.requestId, MAX_ID);
  if (roles.length > MAX_ROLES) {
    violations.push({
      field: CALLER_KEYS.roles,
      description: `must name at most ${MAX_ROLES} roles`,
      reason: 'TOO_MANY',
    });
  }
  const uuid = UUID.exec(requestId)?.[1]?.toLowerCase();
  if (requestId !== '' && uuid === undefined) {
    violations.push({
      field: CALLER_KEYS.requestId,
      description: 'must be a UUID, or req- and a UUID',
      reason: 'INVALID_UUID',
    });
  }
  if (violations.length > 0) throw new InvalidRequest(violations);
  return { client, projectId, userId, roles, requestId: uuid ?? newUuid() };
}

/** Writes what `callerOf` reads. The client's name is not sent: the certificate tells it. */
export function callerMetadata(caller: Partial<Caller> | undefined): Metadata {
  const metadata = new Metadata();
  if (caller?.projectId) metadata.set(CALLER_KEYS.projectId, caller.projectId);
  if (caller?.userId) metadata.set(CALLER_KEYS.userId, caller.userId);
  if (caller?.roles && caller.roles.length > 0) metadata.set(CALLER_KEYS.roles, caller.roles.join(','));
  if (caller?.requestId) metadata.set(CALLER_KEYS.requestId, caller.requestId);
  return metadata;
}
