import type { Tx } from '../core/database.ts';

/**
 * Tells what outside belongs to nobody. Rows are written before what they are of is made, and DELETED only after it is gone: so list
 * what is outside first, and ask here then.
 */
export class Orphans {
  /** Those of `ids` that are no amphora, or one that is DELETED. */
  async unknownAmphorae(tx: Tx, ids: readonly string[]): Promise<string[]> {
    return this.#unknown(tx, 'amphora', ids);
  }

  /** Those of `ids` that are no load balancer, or one that is DELETED. */
  async unknownLoadBalancers(tx: Tx, ids: readonly string[]): Promise<string[]> {
    return this.#unknown(tx, 'load_balancer', ids);
  }

  async #unknown(tx: Tx, table: 'amphora' | 'load_balancer', ids: readonly string[]): Promise<string[]> {
    const rows: { id: string }[] = await tx.query(
      `SELECT id FROM unnest($1::uuid[]) AS outside (id)
        WHERE NOT EXISTS (SELECT 1 FROM ${table} AS t WHERE t.id = outside.id AND t.deleted_at IS NULL)`,
      [ids],
    );
    return rows.map(({ id }) => id);
  }
}
