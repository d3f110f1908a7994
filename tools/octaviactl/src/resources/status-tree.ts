/** What `loadbalancer status show` does: one load balancer with everything below it. */
import {
  type HealthMonitor,
  type Listener,
  type LoadBalancerStatusTree,
  type Member,
  type Pool,
  LoadBalancerServiceService as service,
} from '@octavia/proto';
import type { Action } from '../grammar.ts';
import type { Cell, View } from '../output/format.ts';
import { toWord } from '../words.ts';
import { loadBalancers } from './load-balancer.ts';
import { find, orNull, type Settling } from './resource.ts';

export const show: Action<object> = async (session, [reference = '']) => {
  const { id } = await find(session, loadBalancers, reference);
  const tree = await session.call(service.getLoadBalancerStatusTree, { id });
  if (session.globals.format === 'json' || session.globals.format === 'yaml') {
    await session.printObject(nested(tree));
    return;
  }
  const columns = ['object', 'id', 'provisioning_status', 'operating_status', 'reason'];
  await session.printList(flat(tree), columns, columns);
};

/** As the OpenStack client prints it: listeners hold their pool, pools their members and health monitor. */
function nested(tree: LoadBalancerStatusTree): View {
  const pool = (item: Pool): Cell => ({
    ...statuses(item),
    members: tree.members
      .filter((member) => member.poolId === item.id)
      .map((member) => ({ ...statuses(member), address: member.address, protocol_port: member.protocolPort })),
    health_monitor: tree.healthMonitors.filter(({ poolId }) => poolId === item.id).map(monitorView)[0] ?? {},
  });
  const lb = tree.loadBalancer;
  return {
    loadbalancer: {
      ...(lb ? statuses(lb) : {}),
      listeners: tree.listeners.map((listener) => ({
        ...statuses(listener),
        pools: tree.pools.filter(({ id }) => id === listener.defaultPoolId).map(pool),
      })),
      pools: tree.pools.filter((item) => !isDefaultPool(tree, item)).map(pool), // Those that no listener uses.
    },
  };
}

function monitorView(monitor: HealthMonitor): Cell {
  return { ...statuses(monitor), type: toWord('HEALTH_MONITOR_TYPE', monitor.type) };
}

function isDefaultPool({ listeners }: LoadBalancerStatusTree, pool: Pool): boolean {
  return listeners.some(({ defaultPoolId }) => defaultPoolId === pool.id);
}

function statuses(object: Settling): { [key: string]: Cell } {
  return {
    id: object.id,
    name: object.name ?? '',
    provisioning_status: toWord('PROVISIONING_STATUS', object.provisioningStatus),
    operating_status: toWord('OPERATING_STATUS', object.operatingStatus),
    ...(object.statusDetail?.reason ? { reason: object.statusDetail.reason } : {}),
  };
}

/** One row for each object, indented by its place in the tree. */
function flat(tree: LoadBalancerStatusTree): View[] {
  const rows: View[] = [];
  const add = (depth: number, noun: string, object: Settling, extra = '') => {
    const { id, provisioning_status, operating_status } = statuses(object);
    const object_ = `${'  '.repeat(depth)}${[noun, object.name, extra].filter(Boolean).join(' ')}`;
    rows.push({
      object: object_,
      id: id ?? null,
      provisioning_status: provisioning_status ?? null,
      operating_status: operating_status ?? null,
      reason: orNull(object.statusDetail?.reason) ?? '',
    });
  };
  const addPool = (depth: number, pool: Pool) => {
    add(depth, 'pool', pool);
    for (const member of tree.members.filter(({ poolId }) => poolId === pool.id)) {
      add(depth + 1, 'member', member, address(member));
    }
    for (const monitor of tree.healthMonitors.filter(({ poolId }) => poolId === pool.id)) {
      add(depth + 1, 'healthmonitor', monitor);
    }
  };
  if (tree.loadBalancer) add(0, 'loadbalancer', tree.loadBalancer, tree.loadBalancer.vipAddress);
  for (const listener of tree.listeners) {
    add(1, 'listener', listener, port(listener));
    for (const pool of tree.pools.filter(({ id }) => id === listener.defaultPoolId)) addPool(2, pool);
  }
  for (const pool of tree.pools.filter((item) => !isDefaultPool(tree, item))) addPool(1, pool);
  return rows;
}

function address({ address, protocolPort }: Member): string {
  return address.includes(':') ? `[${address}]:${protocolPort}` : `${address}:${protocolPort}`;
}

function port({ protocol, protocolPort }: Listener): string {
  return `${toWord('PROTOCOL', protocol) ?? ''}:${protocolPort}`;
}
