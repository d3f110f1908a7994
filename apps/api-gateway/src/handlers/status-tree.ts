import { NO_RELATIVES, pendingDetails, type Related, Trees, Views } from '@octavia/db';
import { type Caller, type Intent, isBeingDeleted, NotFound } from '@octavia/domain';
import type { LoadBalancerStatusTree } from '@octavia/proto';
import { readScope } from '../authorize.ts';
import { readId } from '../check/violations.ts';
import type { Parts } from '../parts.ts';

const trees = new Trees();
const views = new Views();

/** The load balancer with everything below it, of one snapshot. */
export async function statusTree({ db, replies }: Parts, id: string, caller: Caller): Promise<LoadBalancerStatusTree> {
  const scope = readScope(caller, 'Reading');
  const loadBalancerId = readId('id', id);
  return db.transaction(
    async (tx) => {
      const top = await views.get(tx, 'load_balancer', loadBalancerId, scope);
      const tree = await trees.read(tx, loadBalancerId);
      if (!tree) throw new NotFound('load balancer', loadBalancerId);
      const statuses = await views.operatingStatuses(tx, loadBalancerId);
      const pending = await pendingDetails(tx, [loadBalancerId]);
      const view = <T extends Intent>(object: T, related: Partial<Related> = {}) => ({
        object,
        operatingStatus: statuses.get(object.id) ?? null,
        related: { ...NO_RELATIVES, ...related },
      });
      const monitorOf = (poolId: string): string | null =>
        idsOf(tree.healthMonitors.filter((monitor) => monitor.poolId === poolId))[0] ?? null;
      return {
        loadBalancer: replies.write('load_balancer', top, pending),
        listeners: tree.listeners.map((listener) => replies.write('listener', view(listener), pending)),
        pools: tree.pools.map((pool) => {
          const related = {
            listenerIds: idsOf(tree.listeners.filter(({ defaultPoolId }) => defaultPoolId === pool.id)),
            memberIds: idsOf(tree.members.filter(({ poolId }) => poolId === pool.id)),
            healthMonitorId: monitorOf(pool.id),
          };
          return replies.write('pool', view(pool, related), pending);
        }),
        members: tree.members.map((member) => {
          return replies.write('member', view(member, { healthMonitorId: monitorOf(member.poolId) }), pending);
        }),
        healthMonitors: tree.healthMonitors.map((monitor) => replies.write('health_monitor', view(monitor), pending)),
      };
    },
    { isSnapshot: true },
  );
}

/** Without those that are going away, as everywhere. */
function idsOf(objects: readonly Intent[]): string[] {
  return objects.filter((object) => !isBeingDeleted(object)).map(({ id }) => id);
}
