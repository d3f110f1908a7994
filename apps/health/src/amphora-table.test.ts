import { describe, expect, it } from 'vitest';
import { AmphoraTable } from './amphora-table.ts';

const TIMING = { timeoutMs: 4_000, firstHeartbeatGraceMs: 2_000 };
const allocated = (id: string, ...loadBalancerIds: string[]) => ({
  id,
  loadBalancerIds: loadBalancerIds.length > 0 ? loadBalancerIds : ['lb'],
  status: 'ALLOCATED' as const,
});
const silentAt = (table: AmphoraTable, now: number) => {
  const ids: (string | undefined)[] = [];
  table.silent(now, (index) => ids.push(table.at(index)?.id));
  return ids;
};

describe('the table of amphorae', () => {
  it('finds the silent: after the timeout, or after a grace as well when they never were heard', () => {
    const table = new AmphoraTable(TIMING);
    table.heard(table.put(allocated('heard'), 0), 10_000);
    table.put(allocated('never'), 10_000);
    expect(silentAt(table, 13_999)).toEqual([]);
    expect(silentAt(table, 14_000)).toEqual(['heard']);
    expect(silentAt(table, 16_000)).toEqual(['heard', 'never']);
  });

  it('does not let a late heartbeat make it younger than it was', () => {
    const table = new AmphoraTable(TIMING);
    const index = table.put(allocated('a'), 0);
    table.heard(index, 10_000);
    table.heard(index, 5_000);
    expect(table.heardAt(index)).toBe(10_000);
  });

  it('counts a mismatch from its beginning, and forgets it when it ends', () => {
    const table = new AmphoraTable(TIMING);
    const index = table.put(allocated('a'), 0);
    table.heard(index, 10_000);
    table.setMismatch(index, 'lb', 10_000);
    table.heard(index, 13_000);
    table.setMismatch(index, 'lb', 13_000);
    expect(silentAt(table, 14_000)).toEqual(['a']);
    table.setMismatch(index, 'lb', null);
    expect(silentAt(table, 14_000)).toEqual([]);
  });

  it('gives a number again without anything of who had it before', () => {
    const table = new AmphoraTable(TIMING);
    const index = table.put(allocated('a'), 0);
    table.heard(index, 10_000);
    table.setReport(index, 1n, new Uint8Array([1]));
    table.hold(index, 99_000);
    table.remove('a');
    expect(silentAt(table, 1_000_000)).toEqual([]);
    expect(table.put(allocated('b'), 20_000)).toBe(index);
    expect([table.report(index), table.hash(index), table.heardAt(index)]).toEqual([undefined, undefined, -Infinity]);
    expect(silentAt(table, 26_000)).toEqual(['b']);
    expect(table.ofLoadBalancer('lb')).toEqual([index]);
  });

  it('keeps what was heard when a spare is allocated, and knows its load balancer from then on', () => {
    const table = new AmphoraTable(TIMING);
    const index = table.put({ id: 'a', status: 'READY', loadBalancerIds: [] }, 0);
    table.heard(index, 10_000);
    table.put(allocated('a'), 50_000);
    expect(table.heardAt(index)).toBe(10_000);
    expect(table.ofLoadBalancer('lb')).toEqual([index]);
    table.remove('a');
    expect(table.ofLoadBalancer('lb')).toEqual([]);
  });

  it('grows beyond its first size', () => {
    const table = new AmphoraTable(TIMING);
    for (let count = 0; count < 5_000; count++) table.heard(table.put(allocated(`${count}`, `${count}`), 0), count);
    expect(table.size).toBe(5_000);
    expect(silentAt(table, 4_999)).toHaveLength(1_000);
    expect(table.counts(4_999)).toEqual({ alive: 4_001, silent: 999, never_heard: 0 });
  });
});
