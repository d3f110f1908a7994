import { describe, expect, it } from 'vitest';
import { begin, changed, etagOf } from './change.ts';
import type { LoadBalancer } from './objects.ts';
import type { ProvisioningStatus } from './status.ts';

const lb = (provisioningStatus: ProvisioningStatus): LoadBalancer => ({
  id: '0193a000-0000-7000-8000-000000000001',
  projectId: 'p',
  author: 'u',
  requestId: 'r',
  name: '',
  description: '',
  adminStateUp: true,
  tags: [],
  provisioningStatus,
  fault: provisioningStatus === 'ERROR' ? { reason: 'X', message: 'x' } : null,
  revision: 1,
  appliedRevision: 0,
  createdAt: new Date(0),
  updatedAt: null,
  provider: 'amphora',
  flavorId: null,
  availabilityZone: null,
  apolocationGroup: null,
  topology: 'SINGLE',
  vip: { address: null, subnetId: 's', networkId: null, portId: null },
  desiredRevision: 3,
});

describe('a change of a load balancer', () => {
  it('is taken while another is under way, and after a failure', () => {
    for (const status of ['ACTIVE', 'PENDING_UPDATE', 'ERROR'] as const) {
      expect(begin('update', lb(status))).toMatchObject({
        provisioningStatus: 'PENDING_UPDATE',
        desiredRevision: 4,
        fault: null,
      });
    }
  });

  it('leaves a creation a creation', () => {
    expect(begin('update', lb('PENDING_CREATE')).provisioningStatus).toBe('PENDING_CREATE');
  });

  it('is refused only once it is being deleted', () => {
    for (const status of ['PENDING_DELETE', 'DELETED'] as const) {
      expect(() => begin('update', lb(status))).toThrow(/being deleted/);
    }
    expect(begin('delete', lb('PENDING_CREATE')).provisioningStatus).toBe('PENDING_DELETE');
  });

  it('keeps a child that was never served a creation', () => {
    expect(changed({ ...lb('ERROR'), appliedRevision: 0 })).toBe('PENDING_CREATE');
    expect(changed({ ...lb('ERROR'), appliedRevision: 2 })).toBe('PENDING_UPDATE');
  });

  it('gives an etag that follows the revision of the object', () => {
    expect(etagOf({ ...lb('ACTIVE'), revision: 2 })).not.toBe(etagOf(lb('ACTIVE')));
    expect(etagOf(lb('PENDING_UPDATE'))).toBe(etagOf(lb('ACTIVE')));
  });
});
