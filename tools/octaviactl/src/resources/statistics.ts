/** What `loadbalancer … stats show` does. */
import { AmphoraServiceService, ListenerServiceService, LoadBalancerServiceService, Statistics } from '@octavia/proto';
import type { Action } from '../grammar.ts';
import type { View } from '../output/format.ts';
import { listeners } from './listener.ts';
import { loadBalancers } from './load-balancer.ts';
import { byName, find } from './resource.ts';

export const showLoadBalancer: Action<object> = async (session, [reference = '']) => {
  const { id } = await find(session, loadBalancers, reference);
  const statistics = await session.call(LoadBalancerServiceService.getLoadBalancerStatistics, { id });
  await session.printObject(byName(view(statistics)));
};

export const showListener: Action<object> = async (session, [reference = '']) => {
  const { id } = await find(session, listeners, reference);
  const statistics = await session.call(ListenerServiceService.getListenerStatistics, { id });
  await session.printObject(byName(view(statistics)));
};

export const showAmphora: Action<object> = async (session, [id = '']) => {
  const found = await session.call(AmphoraServiceService.getAmphoraStatistics, { id });
  const rows = found.listeners.map(({ listenerId, loadBalancerId, statistics }) => ({
    listener_id: listenerId,
    loadbalancer_id: loadBalancerId,
    ...view(statistics ?? Statistics.create()),
  }));
  const columns = ['listener_id', ...Object.keys(view(Statistics.create()))];
  await session.printList(rows, columns, [...columns, 'loadbalancer_id']);
};

function view(statistics: Statistics): View {
  return {
    active_connections: exact(statistics.activeConnections),
    bytes_in: exact(statistics.bytesIn),
    bytes_out: exact(statistics.bytesOut),
    request_errors: exact(statistics.requestErrors),
    total_connections: exact(statistics.totalConnections),
  };
}

/** A number where JavaScript holds it exactly, else its digits. */
function exact(value: bigint): number | string {
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : String(value);
}
