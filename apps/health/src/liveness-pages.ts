import { type LivenessPage, type OwnedRange, PAGE_SIZE, PAGES_PER_RANGE, type Slot } from '@octavia/db';
import type { AmphoraTable } from './amphora-table.ts';

const NOBODY = -1;

interface Page {
  /** Number of the amphora in each slot. */
  readonly members: Int32Array;
  readonly generations: Int32Array;
}

/** The pages of one range of shards: who sits where, and which pages have news. */
export class LivenessPages {
  readonly #first: number;
  readonly #pages = new Map<number, Page>();
  readonly #free: { page: number; slot: number }[] = [];
  readonly #dirty = new Set<number>();
  #unassigned: string[] = [];
  #freed: string[] = [];

  /** @param slots every slot that the range's pages ever gave */
  constructor(range: OwnedRange, slots: readonly (Slot & { readonly isTaken: boolean })[]) {
    this.#first = range.first * PAGES_PER_RANGE;
    for (const { page, slot, generation, isTaken } of slots) {
      this.#page(page).generations[slot] = generation;
      if (!isTaken && generation > 0) this.#free.push({ page, slot });
    }
    for (const [number, page] of this.#pages) {
      for (let slot = 0; slot < PAGE_SIZE; slot++) {
        if (page.generations[slot] === 0) this.#free.push({ page: number, slot });
      }
    }
  }

  /** Seats an amphora where the database says it sits. False: that is not one of our pages. */
  seat(index: number, { page, slot }: Slot): boolean {
    if (page < this.#first || page >= this.#first + PAGES_PER_RANGE) return false;
    this.#page(page).members[slot] = index;
    return true;
  }

  /** Gives a new amphora a slot of its own, with the next generation; the database learns of it with the next write. */
  give(index: number, id: string): Slot {
    const { page, slot } = this.#free.pop() ?? this.#newPage();
    const { members, generations } = this.#page(page);
    const generation = (generations[slot] ?? 0) + 1;
    members[slot] = index;
    generations[slot] = generation;
    this.#unassigned.push(id);
    this.#dirty.add(page);
    return { page, slot, generation };
  }

  /** The amphora is gone. */
  leave(id: string, { page, slot }: Slot): void {
    this.#page(page).members[slot] = NOBODY;
    this.#free.push({ page, slot });
    this.#freed.push(id);
    this.#dirty.add(page);
  }

  /** Something about an amphora of this page is new. */
  touch(page: number): void {
    this.#dirty.add(page);
  }

  /** Takes what has to be written. Give it back with `putBack` when the write failed. */
  take(): { pages: number[]; unassigned: string[]; freed: string[] } {
    const taken = { pages: [...this.#dirty], unassigned: this.#unassigned, freed: this.#freed };
    this.#dirty.clear();
    this.#unassigned = [];
    this.#freed = [];
    return taken;
  }

  putBack(taken: { pages: number[]; unassigned: string[]; freed: string[] }): void {
    for (const page of taken.pages) this.#dirty.add(page);
    this.#unassigned.push(...taken.unassigned);
    this.#freed.push(...taken.freed);
  }

  /** A page as it is now. */
  content(number: number, table: AmphoraTable, now: number): LivenessPage {
    const { members, generations } = this.#page(number);
    const agesMs = new Int32Array(PAGE_SIZE).fill(-1);
    for (let slot = 0; slot < PAGE_SIZE; slot++) {
      const index = members[slot] ?? NOBODY;
      if (index === NOBODY) continue;
      const age = now - table.wellAt(index);
      if (Number.isFinite(age)) agesMs[slot] = Math.min(Math.max(0, Math.round(age)), 2_147_483_647);
    }
    return { page: number, agesMs, generations: generations.slice() };
  }

  #page(number: number): Page {
    const known = this.#pages.get(number);
    if (known) return known;
    const page = { members: new Int32Array(PAGE_SIZE).fill(NOBODY), generations: new Int32Array(PAGE_SIZE) };
    this.#pages.set(number, page);
    return page;
  }

  #newPage(): { page: number; slot: number } {
    let number = this.#first;
    while (this.#pages.has(number)) number += 1;
    if (number >= this.#first + PAGES_PER_RANGE) throw new Error('A range of shards has no page left: split it.');
    this.#page(number);
    for (let slot = PAGE_SIZE - 1; slot > 0; slot--) this.#free.push({ page: number, slot });
    return { page: number, slot: 0 };
  }
}
