import { describe, expect, it } from 'vitest';
import { listScope, readScope, requireAdmin, writeScope } from './authorize.ts';

const caller = (...roles: string[]) => ({ client: 'api-tier', projectId: 'mine', userId: 'u', roles, requestId: 'r' });

describe('a role', () => {
  it('of an administrator sees and changes all', () => {
    for (const role of ['admin', 'load-balancer_admin']) {
      expect(readScope(caller(role), 'a')).toBeNull();
      expect(writeScope(caller(role), 'a')).toBeNull();
      expect(listScope(caller(role), 'other', 'a')).toBe('other');
      requireAdmin(caller(role), 'a');
    }
  });

  it('of a member sees and changes its project', () => {
    for (const role of ['member', 'load-balancer_member']) {
      expect(readScope(caller(role), 'a')).toBe('mine');
      expect(writeScope(caller(role), 'a')).toBe('mine');
      expect(() => requireAdmin(caller(role), 'a')).toThrow(/load-balancer_admin/);
      expect(() => listScope(caller(role), 'other', 'a')).toThrow(/global_observer/);
      expect(listScope(caller(role), 'mine', 'a')).toBe('mine');
      expect(listScope(caller(role), '', 'a')).toBe('mine');
    }
  });

  it('of an observer sees only', () => {
    for (const role of ['reader', 'load-balancer_observer', 'load-balancer_global_observer']) {
      expect(() => writeScope(caller(role), 'a')).toThrow(/load-balancer_member/);
    }
    expect(readScope(caller('load-balancer_global_observer'), 'a')).toBeNull();
    expect(readScope(caller('reader'), 'a')).toBe('mine');
  });

  it('that we do not know gives nothing', () => {
    for (const roles of [[], ['Admin'], ['load-balancer_quota_admin'], ['creator']]) {
      expect(() => readScope(caller(...roles), 'a')).toThrow(/role/);
      expect(() => writeScope(caller(...roles), 'a')).toThrow(/role/);
    }
  });
});
