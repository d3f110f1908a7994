/** Requests with as little as they need; tests add what they are about. */
import { HealthMonitor, Listener, LoadBalancer, Member, Pool } from '@octavia/proto';
import type { World } from './world.ts';

type Call = Parameters<World['loadBalancers']['createLoadBalancer']>[1];

export const loadBalancer = (fields: Partial<LoadBalancer> = {}): LoadBalancer => LoadBalancer.fromPartial(fields);
export const listener = (loadBalancerId: string, fields: Partial<Listener> = {}): Listener =>
  Listener.fromPartial({ loadBalancerId, protocol: 'PROTOCOL_HTTP', protocolPort: 80, ...fields });
export const pool = (loadBalancerId: string, fields: Partial<Pool> = {}): Pool =>
  Pool.fromPartial({
    loadBalancerId,
    protocol: 'PROTOCOL_HTTP',
    lbAlgorithm: 'LB_ALGORITHM_ROUND_ROBIN',
    ...fields,
  });
export const member = (poolId: string, fields: Partial<Member> = {}): Member =>
  Member.fromPartial({ poolId, address: '10.0.0.1', protocolPort: 8080, ...fields });
export const healthMonitor = (poolId: string, fields: Partial<HealthMonitor> = {}): HealthMonitor =>
  HealthMonitor.fromPartial({
    poolId,
    type: 'HEALTH_MONITOR_TYPE_HTTP',
    delay: 2,
    timeout: 1,
    maxRetries: 2,
    ...fields,
  });

/** A load balancer with a listener, its pool, a member and a monitor. */
export async function createAll(world: World, as: Call) {
  const requestId = '';
  const lb = await world.loadBalancers.createLoadBalancer(
    { loadBalancer: loadBalancer({ name: 'web' }), requestId },
    as,
  );
  const front = await world.listeners.createListener({ listener: listener(lb.id), requestId }, as);
  const back = await world.pools.createPool({ pool: pool(''), listenerId: front.id, requestId }, as);
  const server = await world.members.createMember({ member: member(back.id), requestId }, as);
  const monitor = await world.healthMonitors.createHealthMonitor(
    { healthMonitor: healthMonitor(back.id), requestId },
    as,
  );
  return { lb, front, back, server, monitor };
}
