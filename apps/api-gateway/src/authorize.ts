import type { Scope } from '@octavia/db';
import { type Caller, RoleRequired } from '@octavia/domain';

/** OpenStack's default roles and Octavia's own, older ones, by what they grant. Source: Octavia's RBAC. */
const GRANTS = {
  admin: ['admin', 'load-balancer_admin'],
  write: ['member', 'load-balancer_member'],
  read: ['reader', 'load-balancer_observer', 'member', 'load-balancer_member'],
  readGlobal: ['load-balancer_global_observer'],
} as const;

function has(caller: Caller, grant: keyof typeof GRANTS): boolean {
  return caller.roles.some((role) => (GRANTS[grant] as readonly string[]).includes(role));
}

export function isAdmin(caller: Caller): boolean {
  return has(caller, 'admin');
}

/** Whose objects the caller may see. @throws RoleRequired */
export function readScope(caller: Caller, action: string): Scope {
  if (isAdmin(caller) || has(caller, 'readGlobal')) return null;
  if (has(caller, 'read')) return caller.projectId;
  throw new RoleRequired(action, 'load-balancer_observer');
}

/** Whose objects the caller may change. @throws RoleRequired */
export function writeScope(caller: Caller, action: string): Scope {
  if (isAdmin(caller)) return null;
  if (has(caller, 'write')) return caller.projectId;
  throw new RoleRequired(action, 'load-balancer_member');
}

/** @throws RoleRequired */
export function requireAdmin(caller: Caller, action: string): void {
  if (!isAdmin(caller)) throw new RoleRequired(action, 'load-balancer_admin');
}

/**
 * Whose objects a listing shows: those of the named project, or of the caller's; to administrators those of all.
 * @throws RoleRequired for another project without a role that sees all
 */
export function listScope(caller: Caller, projectId: string, action: string): Scope {
  const scope = readScope(caller, action);
  if (projectId === '') return scope;
  if (scope !== null && scope !== projectId) throw new RoleRequired(action, 'load-balancer_global_observer');
  return projectId;
}
