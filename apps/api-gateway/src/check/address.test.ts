import { describe, expect, it } from 'vitest';
import { canonicalAddress, isWithin } from './address.ts';

describe('an address', () => {
  it('is written in one way', () => {
    expect(canonicalAddress('10.0.0.1')).toBe('10.0.0.1');
    expect(canonicalAddress('2001:DB8:0:0:0:0:0:1')).toBe('2001:db8::1');
    expect(canonicalAddress('::FFFF:10.0.0.1')).toBe('10.0.0.1');
    expect(canonicalAddress('::ffff:a00:1')).toBe('10.0.0.1');
    expect(canonicalAddress('::1')).toBe('::1');
  });

  it('is nothing else than an address', () => {
    for (const text of ['', '010.0.0.1', '10.0.0', '10.0.0.1/32', 'fe80::1%eth0', '[::1]', 'localhost', '1', '::g']) {
      expect(canonicalAddress(text)).toBeNull();
    }
  });

  it('is in a subnet or between two others, of its own family', () => {
    expect(isWithin('10.1.2.3', { cidr: '10.1.0.0/16' })).toBe(true);
    expect(isWithin('10.2.0.0', { cidr: '10.1.0.0/16' })).toBe(false);
    expect(isWithin('fd00::5', { cidr: 'fd00::/64' })).toBe(true);
    expect(isWithin('10.0.0.10', { first: '10.0.0.10', last: '10.0.0.20' })).toBe(true);
    expect(isWithin('10.0.0.20', { first: '10.0.0.10', last: '10.0.0.20' })).toBe(true);
    expect(isWithin('10.0.0.21', { first: '10.0.0.10', last: '10.0.0.20' })).toBe(false);
    expect(isWithin('::1', { first: '10.0.0.10', last: '10.0.0.20' })).toBe(false);
  });
});
