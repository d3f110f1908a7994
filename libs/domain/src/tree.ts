import type { LoadBalancerTree, ObjectKind, ObjectOf } from './objects.ts';

/** An object of a tree. */
export type TreeObject = {
  [K in ObjectKind]: { readonly kind: K; readonly object: ObjectOf[K] };
}[ObjectKind];

/** Everything in a tree, the load balancer first. */
export function treeObjects(tree: LoadBalancerTree): TreeObject[] {
  return [
    { kind: 'load_balancer', object: tree.loadBalancer },
    ...tree.listeners.map((object) => ({ kind: 'listener', object }) as const),
    ...tree.pools.map((object) => ({ kind: 'pool', object }) as const),
    ...tree.members.map((object) => ({ kind: 'member', object }) as const),
    ...tree.healthMonitors.map((object) => ({ kind: 'health_monitor', object }) as const),
  ];
}
