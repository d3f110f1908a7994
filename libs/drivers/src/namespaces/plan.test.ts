import { randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { ipv4Range, isInRange } from '../addresses.ts';
import { BLOCKS, bridgeMac, namespacePlan, pairNames } from './plan.ts';

const POOL = ipv4Range('198.18.0.0', '198.19.255.255');
const ids = Array.from({ length: 200 }, () => randomUUID());

describe('the plan of namespaces mode', () => {
  it('has all addresses in the block that is set aside for tests of networks', () => {
    for (const id of ids) {
      const { management, vip } = namespacePlan(id);
      for (const address of [management.first, management.last, vip.first, vip.last, vip.ownFirst, vip.ownLast])
        expect(isInRange(address, POOL)).toBe(true);
    }
  });

  it('is the same for the same installation, and another for another one', () => {
    const [one = '', other = ''] = ids;
    expect(namespacePlan(one)).toEqual(namespacePlan(one));
    expect(new Set(ids.map((id) => namespacePlan(id).prefix)).size).toBeGreaterThan(198);
    expect(namespacePlan(one).vip.id).not.toBe(namespacePlan(other).vip.id);
  });

  it('gives hosts, VIPs and amphorae addresses that do not overlap', () => {
    const { management, vip } = namespacePlan('an-installation');
    expect(isInRange(management.hostAddress, ipv4Range(management.first, management.last))).toBe(false);
    const vips = ipv4Range(vip.first, vip.last);
    const own = ipv4Range(vip.ownFirst, vip.ownLast);
    for (const address of [vip.hostAddress, vip.ownFirst, vip.ownLast, vip.guestFirst, vip.guestLast]) {
      expect(isInRange(address, vips)).toBe(false);
    }
    for (const address of [vip.guestFirst, vip.guestLast]) expect(isInRange(address, own)).toBe(false);
  });

  it('goes on to every other block before it comes back', () => {
    const all = Array.from({ length: BLOCKS }, (_, probe) => namespacePlan('x', probe).management.cidr);
    expect(new Set(all).size).toBe(BLOCKS);
    expect(namespacePlan('x', 1).vip.id).toBe(namespacePlan('x').vip.id);
  });

  it('has names that the kernel takes, and MAC addresses that belong to nobody', () => {
    for (const id of ids) {
      const plan = namespacePlan(id);
      const pairs = (['management', 'vip'] as const).map((kind) => pairNames(plan, id, kind));
      expect(new Set(pairs.flatMap(({ outer, mac }) => [outer, mac])).size).toBe(4);
      for (const { outer, mac } of pairs) {
        expect(outer).toMatch(/^o[0-9a-z]{4}[mv][0-9a-z]{9}$/);
        expect(mac).toMatch(/^02(:[0-9a-f]{2}){5}$/);
      }
      expect(plan.vip.bridge.length).toBeLessThanOrEqual(15);
      expect(bridgeMac(plan.vip)).toMatch(/^02(:[0-9a-f]{2}){5}$/);
    }
  });
});
