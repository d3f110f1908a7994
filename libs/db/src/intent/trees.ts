import type { LoadBalancerTree } from '@octavia/domain';
import type { Tx } from '../core/database.ts';
import { tables } from './table.ts';

/** Children of the load balancer as one JSON array, so that the whole tree is one statement and thus one snapshot. */
const children = (table: string): string =>
  `(SELECT coalesce(json_agg(to_json(c) ORDER BY c.created_at, c.id), '[]') FROM ${table} c WHERE c.load_balancer_id = lb.id) AS ${table}`;

const READ = `
  SELECT to_json(lb) AS load_balancer, ${children('listener')}, ${children('pool')}, ${children('member')}, ${children('health_monitor')}
  FROM load_balancer lb WHERE lb.id = $1`;

/** Load balancers with everything below them. */
export class Trees {
  /**
   * The tree at one instant, in one statement; null when there is no such row. It holds everything that has a row: what is
   * PENDING_DELETE, ERROR or DELETED as well.
   */
  async read(tx: Tx, loadBalancerId: string): Promise<LoadBalancerTree | null> {
    const [row] = await tx.query(READ, [loadBalancerId]);
    if (!row) return null;
    return {
      loadBalancer: tables.load_balancer.read(row.load_balancer),
      listeners: row.listener.map((child: Record<string, unknown>) => tables.listener.read(child)),
      pools: row.pool.map((child: Record<string, unknown>) => tables.pool.read(child)),
      members: row.member.map((child: Record<string, unknown>) => tables.member.read(child)),
      healthMonitors: row.health_monitor.map((child: Record<string, unknown>) => tables.health_monitor.read(child)),
    };
  }
}
