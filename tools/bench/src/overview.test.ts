import { describe, expect, it } from 'vitest';
import type { AmphoraSeen } from './api.ts';
import { Look } from './overview.ts';

const heard = (id: string, agoMs: number | null = 0): AmphoraSeen => ({
  id,
  loadBalancerId: 'lb',
  status: 'AMPHORA_STATUS_ALLOCATED',
  heardAt: agoMs === null ? null : Date.now() - agoMs,
});
const lacks = (
  amphorae: readonly AmphoraSeen[],
  status = 'ACTIVE',
  flows: string | null = null,
  gone: readonly string[] = [],
) => new Look(amphorae, [{ id: 'lb', status, flows }]).of('lb', 2, gone).missing;

describe('a load balancer', () => {
  it('is whole when it is ACTIVE, no flow of it is open, and all its amphorae are heard', () => {
    expect(lacks([heard('a'), heard('b')])).toBeNull();
    expect(
      new Look([heard('a'), heard('b')], [{ id: 'lb', status: 'ACTIVE', flows: null }]).of('lb', 2, []).amphorae,
    ).toEqual(['a', 'b']);
  });

  it('is not before, and says what it lacks', () => {
    expect(lacks([heard('a'), heard('b')], 'PENDING_UPDATE')).toBe('it is PENDING_UPDATE');
    expect(lacks([heard('a'), heard('b')], 'ACTIVE', 'amphora.mend')).toBe('open flows: amphora.mend');
    expect(lacks([heard('a')])).toBe('it has 1 amphorae');
    expect(lacks([heard('a'), heard('b', null)])).toContain('amphora b was heard at null');
    expect(lacks([heard('a', 10_000), heard('b')])).toContain('amphora a was heard at');
  });

  it('is not whole as long as what was struck is of it', () => {
    expect(lacks([heard('a'), heard('b')], 'ACTIVE', null, ['b'])).toBe('what was struck is not replaced yet');
  });
});

it('counts ready spares alone', () => {
  const spare = (status: AmphoraSeen['status']): AmphoraSeen => ({ ...heard('s'), loadBalancerId: '', status });
  expect(new Look([spare('AMPHORA_STATUS_READY'), spare('AMPHORA_STATUS_BOOTING'), heard('a')], []).spares).toBe(1);
});
