import { type Database, type Liveness, type OwnedRange, type ShardOwners, ShardsLost } from '@octavia/db';
import type { AmphoraTable } from './amphora-table.ts';
import type { Clock } from './clock.ts';
import type { Roster } from './roster.ts';
import type { Shards } from './shards.ts';
import type { Sight } from './sight.ts';

export interface FlusherParts {
  readonly db: Database;
  readonly liveness: Liveness;
  readonly owners: ShardOwners;
  readonly shards: Shards;
  readonly roster: Roster;
  readonly table: AmphoraTable;
  readonly sight: Sight;
  readonly clock: Clock;
}

/** Pages that are written with one statement: about two megabytes. */
const PAGES_AT_ONCE = 100;

/** Writes liveness to the database: only pages with news, so that a quiet page costs nothing. */
export class Flusher {
  readonly #parts: FlusherParts;

  constructor(parts: FlusherParts) {
    this.#parts = parts;
  }

  async flush(): Promise<void> {
    for (const range of this.#parts.shards.ranges()) await this.#flushRange(range);
  }

  async #flushRange(range: OwnedRange): Promise<void> {
    const { roster, shards, sight } = this.#parts;
    const pages = roster.pagesOfRange(range);
    if (!pages) return;
    const taken = pages.take();
    if (taken.pages.length === 0 && taken.unassigned.length === 0 && taken.freed.length === 0) return;
    try {
      await this.#write(range, taken);
    } catch (error) {
      if (error instanceof ShardsLost) return shards.lose(range);
      pages.putBack(taken);
      sight.databaseFailed();
      throw error;
    }
  }

  async #write(range: OwnedRange, taken: { pages: number[]; unassigned: string[]; freed: string[] }): Promise<void> {
    const { db, owners, liveness, roster, table, clock } = this.#parts;
    await db.transaction(async (tx) => {
      await owners.hold(tx, range);
      await liveness.free(tx, taken.freed);
      await liveness.assign(
        tx,
        taken.unassigned.flatMap((id) => this.#placeOf(id)),
      );
      const pages = roster.pagesOfRange(range);
      for (let from = 0; pages && from < taken.pages.length; from += PAGES_AT_ONCE) {
        const some = taken.pages.slice(from, from + PAGES_AT_ONCE);
        // Ages are of this instant, and the statement notes the database's time beside them.
        await liveness.write(
          tx,
          range,
          some.map((page) => pages.content(page, table, clock())),
        );
      }
    });
  }

  /** Nothing when it is gone again. */
  #placeOf(id: string) {
    const index = this.#parts.table.indexOf(id);
    const place = index === undefined ? null : this.#parts.table.place(index);
    return index === undefined || !place ? [] : [{ ...place, amphoraId: id, shard: this.#parts.table.shard(index) }];
  }
}
