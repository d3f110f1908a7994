import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatIpv4, ipv4Range, isInRange, loopbackPlan, parseIpv4 } from './addresses.ts';

describe('the addresses of an installation', () => {
  it('are a /20 of 127.16.0.0 to 127.254.255.255: VIPs first, then management, nothing shared', () => {
    fc.assert(
      fc.property(fc.uuid(), (id) => {
        const { vipSubnet, managementCidr, managementFirst, managementLast } = loopbackPlan(id);
        const base = parseIpv4(vipSubnet.cidr.replace('/21', '')) ?? -1;
        const secondOctet = (base >>> 16) & 255;
        expect(base % 4096).toBe(0);
        expect(secondOctet).toBeGreaterThanOrEqual(16);
        expect(secondOctet).toBeLessThanOrEqual(254);
        expect(vipSubnet).toMatchObject({ first: formatIpv4(base + 1), last: formatIpv4(base + 2046) });
        expect(managementCidr).toBe(`${formatIpv4(base + 2048)}/21`);
        expect([managementFirst, managementLast]).toEqual([formatIpv4(base + 2049), formatIpv4(base + 4094)]);
      }),
    );
  });

  it('and the ids of subnet and network follow from the installation id alone', () => {
    const plan = loopbackPlan('one');
    expect(loopbackPlan('one')).toEqual(plan);
    expect(plan.vipSubnet.id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-5/);
    expect(plan.vipSubnet.id).not.toBe(plan.vipSubnet.networkId);
    expect(loopbackPlan('two').vipSubnet.id).not.toBe(plan.vipSubnet.id);
  });
});

describe('an IPv4 address', () => {
  it('survives being read and written', () => {
    fc.assert(fc.property(fc.ipV4(), (text) => formatIpv4(parseIpv4(text) ?? -1) === text));
  });

  it.each(['', '1.2.3', '1.2.3.256', '1.2.3.4.5', 'a.b.c.d', '::1', '1.2.3.4 '])('is not %j', (text) => {
    expect(parseIpv4(text)).toBeNull();
    expect(isInRange(text, ipv4Range('0.0.0.0', '255.255.255.255'))).toBe(false);
  });

  it('makes no range backwards', () => {
    expect(() => ipv4Range('127.0.0.2', '127.0.0.1')).toThrow(TypeError);
  });
});
