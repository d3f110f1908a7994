import type { LoadBalancer } from '@octavia/domain';
import type { Tx } from '../core/database.ts';
import { tables } from './table.ts';

const table = tables.load_balancer;

/** The load balancers themselves: what is below them has repositories of its own. */
export class LoadBalancers {
  /**
   * Locks the row, which makes all changes to one load balancer take turns. First lock of every transaction that needs more
   * than one. Returns null when there is no row; a DELETED one is returned.
   */
  async lock(tx: Tx, id: string): Promise<LoadBalancer | null> {
    const [row] = await tx.query(`SELECT ${table.columns()} FROM load_balancer WHERE id = $1 FOR UPDATE`, [id]);
    return row ? table.read(row) : null;
  }
}
