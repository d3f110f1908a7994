import { describe, expect, it } from 'vitest';
import type { StatusReport } from './heartbeat.ts';
import { statusHash, statusHashBits } from './status-hash.ts';

const bits = (report: StatusReport) => statusHashBits(statusHash(report));
const base: StatusReport = {
  listeners: { a: 'OPEN', b: 'FULL' },
  pools: { p: { status: 'UP', members: { m: 'UP', n: 'DOWN' } }, q: { status: 'DOWN', members: {} } },
};

describe('the hash of a status part', () => {
  it('does not depend on the order of keys', () => {
    const turned: StatusReport = {
      pools: { q: { members: {}, status: 'DOWN' }, p: { members: { n: 'DOWN', m: 'UP' }, status: 'UP' } },
      listeners: { b: 'FULL', a: 'OPEN' },
    };
    expect(bits(turned)).toBe(bits(base));
  });

  it('stays the same in every release, because releases compare it', () => {
    expect(bits(base)).toBe(0xf8aeb59b0b2d9541n);
    expect(bits({ listeners: {}, pools: {} })).toBe(0x9e3779b185ebca6bn);
  });

  it('differs for whatever differs', () => {
    const { p, q } = base.pools as { p: StatusReport['pools'][string]; q: StatusReport['pools'][string] };
    const others: StatusReport[] = [
      { ...base, listeners: { a: 'OPEN' } },
      { ...base, listeners: { a: 'FULL', b: 'OPEN' } },
      { ...base, listeners: { aO: 'PEN', b: 'FULL' } },
      { ...base, pools: { p, q: { ...q, status: 'UP' } } },
      { ...base, pools: { p: { ...p, members: { m: 'DOWN', n: 'UP' } }, q } },
      { ...base, pools: { p: { ...p, members: { m: 'UP' } }, q: { ...q, members: { n: 'DOWN' } } } },
      { listeners: {}, pools: {} },
    ];
    expect(new Set([base, ...others].map(bits)).size).toBe(others.length + 1);
  });

  it('has no collision among a hundred thousand small reports', () => {
    const seen = new Set<bigint>();
    const words = ['UP', 'DOWN', 'DRAIN', 'MAINT', 'no check', 'UP 1/2', 'UP 1/3', 'UP 2/3', 'DOWN 1/2', 'DOWN 1/3'];
    for (let n = 0; n < 100_000; n++) {
      const members: Record<string, string> = {};
      for (let digit = 0, rest = n; digit < 5; digit++, rest = Math.floor(rest / 10)) {
        members[`30000000-0000-4000-8000-00000000000${digit}`] = words[rest % 10] ?? '';
      }
      seen.add(bits({ listeners: {}, pools: { p: { status: 'UP', members } } }));
    }
    expect(seen.size).toBe(100_000);
  });
});
