import { Metadata } from '@grpc/grpc-js';
import { InvalidRequest } from '@octavia/domain';
import { describe, expect, it } from 'vitest';
import { callerMetadata, callerOf } from './caller.ts';

describe('the caller', () => {
  it('is what the client wrote, but for its name, which its certificate tells', () => {
    const requestId = '01890a5d-ac96-774b-bcce-b302099a8057';
    const caller = { client: 'forged', projectId: 'p', userId: 'u', roles: ['reader', 'admin'], requestId };
    expect(callerOf('api-tier', callerMetadata(caller))).toEqual({ ...caller, client: 'api-tier' });
  });

  it('gets a request id of version 7 when it brings none', () => {
    const { requestId, roles } = callerOf('cli', new Metadata());
    expect(requestId).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(roles).toEqual([]);
  });

  it('may name its request as OpenStack does', () => {
    const metadata = callerMetadata({ requestId: 'req-01890a5d-ac96-774b-bcce-b302099a8057' });
    expect(callerOf('cli', metadata).requestId).toBe('01890a5d-ac96-774b-bcce-b302099a8057');
  });

  it('is refused with every bad key at once', () => {
    const metadata = callerMetadata({ projectId: 'p'.repeat(256), roles: Array(65).fill('r'), requestId: 'no' });
    const faults = ['x-roles', 'x-project-id', 'x-request-id'];
    try {
      callerOf('cli', metadata);
      expect.unreachable();
    } catch (error) {
      expect(error).toBeInstanceOf(InvalidRequest);
      expect((error as InvalidRequest).violations.map(({ field }) => field).sort()).toEqual(faults.sort());
    }
  });
});
