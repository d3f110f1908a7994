/** What callers asked for: rows, revisions, quotas, addresses, events. */
export { EVENT_CHANNEL, Events, type NewEvent } from './events.ts';
export { LoadBalancers } from './load-balancers.ts';
export {
  entities,
  healthMonitorSchema,
  listenerSchema,
  loadBalancerSchema,
  memberSchema,
  poolSchema,
} from './schemas.ts';
export { type New, Table, tables } from './table.ts';
export { Trees } from './trees.ts';
