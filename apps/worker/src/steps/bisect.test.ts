import type { Fault } from '@octavia/domain';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BaseRefused, bisect, type Suspect } from './bisect.ts';

const refused = (id: string): Fault => ({ reason: 'CONFIGURATION_REFUSED', message: id });
const suspects = (count: number): Suspect[] =>
  Array.from({ length: count }, (_, i) => ({ id: `s${i}`, dependsOn: [] }));

/** A check that refuses whatever holds one of these, with the name of the first. */
function checker(bad: readonly string[]) {
  const asked: ReadonlySet<string>[] = [];
  const passed: ReadonlySet<string>[] = [];
  const check = async (included: ReadonlySet<string>): Promise<Fault | null> => {
    asked.push(included);
    const found = bad.find((id) => included.has(id));
    if (found !== undefined) return refused(found);
    passed.push(included);
    return null;
  };
  return { asked, passed, check };
}

/** Suspects that need some of those before or after them, without a circle. */
const graphs = fc
  .record({
    size: fc.integer({ min: 1, max: 40 }),
    edges: fc.array(fc.tuple(fc.nat(), fc.nat()), { maxLength: 40 }),
    bad: fc.array(fc.nat(), { minLength: 1, maxLength: 8 }),
    shuffle: fc.array(fc.nat(), { minLength: 40, maxLength: 40 }),
  })
  .map(({ size, edges, bad, shuffle }) => {
    const needs = new Map<number, Set<number>>();
    for (const [a, b] of edges) {
      const [from, to] = [Math.max(a % size, b % size), Math.min(a % size, b % size)];
      if (from !== to) needs.set(from, (needs.get(from) ?? new Set()).add(to));
    }
    const all = suspects(size).map(({ id }, i) => ({ id, dependsOn: [...(needs.get(i) ?? [])].map((to) => `s${to}`) }));
    const order = all.map((one, i) => ({ one, at: shuffle[i] ?? 0 })).sort((a, b) => a.at - b.at);
    return { all: order.map(({ one }) => one), bad: [...new Set(bad.map((i) => `s${i % size}`))] };
  });

describe('the search for what a check refuses', () => {
  it.each([1, 2, 3, 16, 17, 300, 1000])(
    'finds one culprit among %i, wherever it is, with few checks',
    async (count) => {
      for (let at = 0; at < count; at += Math.max(1, Math.floor(count / 50))) {
        const { check, asked } = checker([`s${at}`]);
        const { good, culprits, undecided } = await bisect(suspects(count), refused('all'), { check });
        expect([...culprits.keys()]).toEqual([`s${at}`]);
        expect(good).toHaveLength(count - 1);
        expect(undecided).toEqual([]);
        // With the first one, which said that something is wrong.
        expect(1 + asked.length).toBeLessThanOrEqual(Math.ceil(Math.log2(count)) + 3);
        if (count >= 16) expect(1 + asked.length).toBeLessThanOrEqual(2 * Math.log2(count));
      }
    },
  );

  it('finds any set of culprits, and nothing else but what needs them; what is left passes', async () => {
    await fc.assert(
      fc.asyncProperty(graphs, async ({ all, bad }) => {
        const { check, passed } = checker(bad);
        const { good, culprits, dependents, undecided } = await bisect(all, refused('all'), { check });
        const out = new Set([...culprits.keys(), ...dependents.keys()]);
        expect(undecided).toEqual([]);
        expect(good.length + out.size).toBe(all.length);
        for (const id of culprits.keys()) expect(bad).toContain(id);
        for (const id of bad) expect(out).toContain(id);
        const needs = (id: string): string[] => all.find((one) => one.id === id)?.dependsOn.slice() ?? [];
        for (const id of dependents.keys()) expect(needs(id).some((needed) => out.has(needed))).toBe(true);
        for (const id of good) expect(needs(id).some((needed) => out.has(needed))).toBe(false);
        expect(passed.some((set) => set.size === good.length && good.every((id) => set.has(id)))).toBe(true);
      }),
    );
  });

  it('never asks about something without what it needs', async () => {
    await fc.assert(
      fc.asyncProperty(graphs, async ({ all, bad }) => {
        const { check, asked } = checker(bad);
        await bisect(all, refused('all'), { check });
        for (const set of asked) {
          for (const { id, dependsOn } of all)
            if (set.has(id)) for (const needed of dependsOn) expect(set).toContain(needed);
        }
      }),
    );
  });

  it('ends with a set that passes, whatever the check thinks of other sets', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 30 }), fc.func(fc.boolean()), async (count, isRefused) => {
        let last: ReadonlySet<string> = new Set();
        const check = async (included: ReadonlySet<string>) => {
          if (included.size > 0 && isRefused([...included].sort())) return refused('x');
          if (included.size > last.size || included.size === 0) last = included;
          return null;
        };
        const { good } = await bisect(suspects(count), refused('all'), { check });
        if (good.length > 0) expect(await check(new Set(good))).toBeNull();
      }),
    );
  });

  it('blames nobody when nothing passes at all', async () => {
    for (const count of [0, 1, 2, 100]) {
      const searching = bisect(suspects(count), refused('all'), { check: async () => refused('base') });
      await expect(searching).rejects.toBeInstanceOf(BaseRefused);
    }
  });

  it('keeps what it knows when it may not go on, and leaves the rest undecided', async () => {
    const bad = ['s10', 's20', 's30', 's40'];
    const { check } = checker(bad);
    const found = await bisect(suspects(50), refused('all'), { check, mayGoOn: (culprits) => culprits < 2 });
    expect([...found.culprits.keys()]).toEqual(['s10', 's20']);
    expect(found.good.length).toBeGreaterThan(10);
    expect(found.good.length + found.undecided.length).toBe(48);
    for (const id of ['s30', 's40']) expect(found.undecided).toContain(id);
  });

  it('finds something before it stops, however little time there is', async () => {
    const { check } = checker(['s0']);
    const found = await bisect(suspects(8), refused('all'), { check, mayGoOn: () => false });
    expect([...found.culprits.keys()]).toEqual(['s0']);
  });

  it('blames the one that a culprit needs, where only that one is wrong', async () => {
    // Nothing shows of s2 before s5 uses it.
    const check = async (set: ReadonlySet<string>) => (set.has('s2') && set.has('s5') ? refused('s2') : null);
    const all = suspects(9).map((one) => (['s5', 's7'].includes(one.id) ? { ...one, dependsOn: ['s2'] } : one));
    const { culprits, dependents, good } = await bisect(all, refused('all'), {
      check,
      blame: async (culprit, passed) => (culprit === 's5' && passed.has('s2') ? 's2' : culprit),
    });
    expect([...culprits.keys()]).toEqual(['s2']);
    expect([...dependents.keys()]).toEqual(['s5', 's7']);
    expect(good).toEqual(['s0', 's1', 's3', 's4', 's6', 's8']);
  });

  it('blames the younger of two that do not go together', async () => {
    const check = async (set: ReadonlySet<string>) => (set.has('s3') && set.has('s6') ? refused('both') : null);
    const { culprits } = await bisect(suspects(9), refused('all'), { check });
    expect([...culprits]).toEqual([['s6', refused('both')]]);
  });
});
