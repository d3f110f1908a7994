import type { Tx } from '../core/database.ts';
import type { OwnedRange } from './shard-owners.ts';

/** Amphorae on one page. Source: design section 4. */
export const PAGE_SIZE = 1000;
/**
 * Pages that one range of shards may have. The pages of a range are numbered from `first × PAGES_PER_RANGE`, so that owners
 * number their pages without asking each other. 4096 pages hold four million amphorae.
 */
export const PAGES_PER_RANGE = 4096;

/** Where the liveness of an amphora is stored. A slot that is given again has a higher generation. */
export interface Slot {
  readonly page: number;
  readonly slot: number;
  readonly generation: number;
}

/** An amphora whose silence matters. */
export interface KnownAmphora {
  readonly id: string;
  readonly status: 'READY' | 'ALLOCATED';
  /** Those that it is to serve, by id. A spare has none. */
  readonly loadBalancerIds: readonly string[];
  /** Milliseconds since its row last changed: it is READY or ALLOCATED for at least that long, or was touched since. */
  readonly sinceMs: number;
}

/** The same with what was stored of its liveness. */
export interface StoredLiveness extends KnownAmphora {
  readonly place: Slot | null;
  /** Milliseconds since it was last heard; null when it never was, as far as the pages tell. */
  readonly ageMs: number | null;
}

/** A page as it is written: one entry for each slot. */
export interface LivenessPage {
  readonly page: number;
  /** Milliseconds since each was last heard, at the moment of writing; -1 for never. */
  readonly agesMs: Int32Array;
  readonly generations: Int32Array;
}

const KNOWN_COLUMNS = `a.id, a.status,
  ARRAY(SELECT s.load_balancer_id FROM seat AS s WHERE s.amphora_id = a.id AND s.state = 'TAKEN' ORDER BY s.load_balancer_id)
    AS "loadBalancerIds",
  (extract(epoch FROM clock_timestamp() - coalesce(a.updated_at, a.created_at)) * 1000)::float8 AS "sinceMs"`;

/** Liveness of amphorae, a row for a page of a thousand. Writes belong behind `ShardOwners.hold`. */
export class Liveness {
  /** READY and ALLOCATED amphorae with ids above `afterId`, at most `limit`, by id. */
  async known(tx: Tx, afterId: string, limit: number): Promise<KnownAmphora[]> {
    return tx.query(
      `SELECT ${KNOWN_COLUMNS} FROM amphora AS a
        WHERE a.status IN ('READY', 'ALLOCATED') AND a.deleted_at IS NULL AND a.id > $1 ORDER BY a.id LIMIT $2`,
      [afterId, limit],
    );
  }

  /** Those of `ids` that are READY or ALLOCATED. */
  async knownByIds(tx: Tx, ids: readonly string[]): Promise<KnownAmphora[]> {
    return tx.query(
      `SELECT ${KNOWN_COLUMNS} FROM amphora AS a
        WHERE a.status IN ('READY', 'ALLOCATED') AND a.deleted_at IS NULL AND a.id = ANY ($1)`,
      [ids],
    );
  }

  /** As `known`, with place and age. */
  async stored(tx: Tx, afterId: string, limit: number): Promise<StoredLiveness[]> {
    const rows: (KnownAmphora & { page: number | null; slot: number; generation: number; ageMs: number | null })[] =
      await tx.query(
        `SELECT ${KNOWN_COLUMNS}, s.page, s.slot, s.generation,
            CASE WHEN p.generations[s.slot + 1] = s.generation AND p.ages_ms[s.slot + 1] >= 0
              THEN (extract(epoch FROM clock_timestamp() - p.written_at) * 1000)::float8 + p.ages_ms[s.slot + 1] END AS "ageMs"
           FROM amphora AS a
           LEFT JOIN liveness_slot AS s ON s.amphora_id = a.id
           LEFT JOIN liveness_page AS p ON p.page = s.page
          WHERE a.status IN ('READY', 'ALLOCATED') AND a.deleted_at IS NULL AND a.id > $1 ORDER BY a.id LIMIT $2`,
        [afterId, limit],
      );
    return rows.map(({ page, slot, generation, ...row }) => ({
      ...row,
      place: page === null ? null : { page, slot, generation },
    }));
  }

  /** Every slot of the range's pages that was ever given, with its newest generation and whether an amphora has it. */
  async slots(tx: Tx, range: OwnedRange): Promise<(Slot & { isTaken: boolean })[]> {
    const first = range.first * PAGES_PER_RANGE;
    return tx.query(
      `SELECT page, slot, max(generation) AS generation, bool_or(taken) AS "isTaken" FROM (
         SELECT page, slot, generation, true AS taken FROM liveness_slot WHERE page >= $1 AND page < $2
         UNION ALL
         SELECT p.page, (g.position - 1)::int, g.generation, false
           FROM liveness_page AS p CROSS JOIN unnest(p.generations) WITH ORDINALITY AS g (generation, position)
          WHERE p.page >= $1 AND p.page < $2) AS every
        GROUP BY page, slot ORDER BY page, slot`,
      [first, first + PAGES_PER_RANGE],
    );
  }

  /** Records the places that the owner gave. */
  async assign(tx: Tx, places: readonly (Slot & { amphoraId: string; shard: number })[]): Promise<void> {
    if (places.length === 0) return;
    await tx.query(
      `INSERT INTO liveness_slot (amphora_id, shard, page, slot, generation)
       SELECT * FROM unnest($1::uuid[], $2::int[], $3::int[], $4::int[], $5::int[])
       ON CONFLICT (amphora_id) DO UPDATE
         SET shard = excluded.shard, page = excluded.page, slot = excluded.slot, generation = excluded.generation`,
      [
        places.map((place) => place.amphoraId),
        places.map((place) => place.shard),
        places.map((place) => place.page),
        places.map((place) => place.slot),
        places.map((place) => place.generation),
      ],
    );
  }

  /** Frees the places of amphorae that are gone. */
  async free(tx: Tx, amphoraIds: readonly string[]): Promise<void> {
    if (amphoraIds.length === 0) return;
    await tx.query('DELETE FROM liveness_slot WHERE amphora_id = ANY ($1)', [amphoraIds]);
  }

  /** Writes pages, and beside them the database's time at which their ages hold. */
  async write(tx: Tx, range: OwnedRange, pages: readonly LivenessPage[]): Promise<void> {
    if (pages.length === 0) return;
    await tx.query(
      `INSERT INTO liveness_page (page, epoch, written_at, ages_ms, generations)
       SELECT page, $4, clock_timestamp(), ages::int[], generations::int[]
         FROM unnest($1::int[], $2::text[], $3::text[]) AS pages (page, ages, generations)
       ON CONFLICT (page) DO UPDATE
         SET epoch = excluded.epoch, written_at = excluded.written_at, ages_ms = excluded.ages_ms,
             generations = excluded.generations`,
      [
        pages.map((page) => page.page),
        pages.map((page) => `{${page.agesMs.join(',')}}`),
        pages.map((page) => `{${page.generations.join(',')}}`),
        String(range.epoch),
      ],
    );
  }
}
