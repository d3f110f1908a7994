import { PAGE_SIZE, PAGES_PER_RANGE } from '@octavia/db';
import { describe, expect, it } from 'vitest';
import { AmphoraTable } from './amphora-table.ts';
import { LivenessPages } from './liveness-pages.ts';

const RANGE = { first: 2, last: 9, epoch: 1n };
const FIRST = 2 * PAGES_PER_RANGE;

describe('the pages of a range', () => {
  it('are filled one after the other, in numbers that no other range uses', () => {
    const pages = new LivenessPages(RANGE, []);
    const places = Array.from({ length: PAGE_SIZE + 1 }, (_, index) => pages.give(index, `${index}`));
    expect(new Set(places.map(({ page, slot }) => `${page}/${slot}`)).size).toBe(PAGE_SIZE + 1);
    expect(new Set(places.map(({ page }) => page))).toEqual(new Set([FIRST, FIRST + 1]));
    expect(pages.take().pages).toEqual([FIRST, FIRST + 1]);
    expect(pages.take().pages).toEqual([]);
  });

  it('give a slot again with a higher generation, also after a restart', () => {
    const pages = new LivenessPages(RANGE, []);
    const first = pages.give(0, 'a');
    pages.leave('a', first);
    expect(pages.give(1, 'b')).toEqual({ ...first, generation: 2 });
    const next = new LivenessPages(RANGE, [{ page: FIRST, slot: 7, generation: 5, isTaken: false }]);
    const places = Array.from({ length: PAGE_SIZE }, (_, index) => next.give(index, `${index}`));
    expect(places.find(({ slot }) => slot === 7)?.generation).toBe(6);
    expect(new Set(places.map(({ slot }) => slot)).size).toBe(PAGE_SIZE);
  });

  it('never give a slot that the database says is taken', () => {
    const pages = new LivenessPages(RANGE, [{ page: FIRST, slot: 7, generation: 5, isTaken: true }]);
    const slots = Array.from({ length: PAGE_SIZE - 1 }, (_, index) => pages.give(index, `${index}`).slot);
    expect(slots).not.toContain(7);
  });

  it('refuse a place on a page of another range', () => {
    const pages = new LivenessPages(RANGE, []);
    expect(pages.seat(0, { page: FIRST - 1, slot: 0, generation: 1 })).toBe(false);
    expect(pages.seat(0, { page: FIRST, slot: 0, generation: 1 })).toBe(true);
  });

  it('hold the age of who was heard, and -1 for who was not or is gone', () => {
    const table = new AmphoraTable({ timeoutMs: 1, firstHeartbeatGraceMs: 1 });
    const pages = new LivenessPages(RANGE, []);
    const [heard, never, gone] = ['a', 'b', 'c'].map((id) => {
      const index = table.put({ id, status: 'READY', loadBalancerIds: [] }, 0);
      const place = pages.give(index, id);
      if (id !== 'b') table.heard(index, 1_000);
      return place;
    });
    if (gone) pages.leave('c', gone);
    const { agesMs } = pages.content(FIRST, table, 1_250);
    expect([heard, never, gone].map((place) => agesMs[place?.slot ?? 0])).toEqual([250, -1, -1]);
  });
});
