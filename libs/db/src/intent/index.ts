/** What callers asked for: rows, revisions, quotas, addresses, events. */
export { type ChildKind, HealthMonitors, Listeners, type Locked, Members, Pools } from './children.ts';
export { Deployments } from './deployments.ts';
export { CursorTooOld, EventLog, type EventPage, type EventQuery, type EventRecord } from './event-log.ts';
export { EVENT_CHANNEL, Events, type NewEvent } from './events.ts';
export { Idempotency, type IdempotentRequest } from './idempotency.ts';
export { assertEtag, LoadBalancers, type Scope } from './load-balancers.ts';
export {
  firstToExpire,
  type HeartbeatCounts,
  heartbeatCounts,
  lastHeartbeats,
  type Overview,
  overview,
} from './overview.ts';
export { afterOf, type Filters, pageToken } from './page-token.ts';
export { type PendingDetail, pendingDetails } from './pending-details.ts';
export { Quotas, UNLIMITED } from './quotas.ts';
export { type ChangedBy, type NewRevision, type RevisionRecord, Revisions } from './revisions.ts';
export {
  healthMonitorSchema,
  listenerSchema,
  loadBalancerSchema,
  memberSchema,
  poolSchema,
} from './schemas.ts';
export { type ManagedSubnet, Subnets } from './subnets.ts';
export { type New, Table, tables } from './table.ts';
export { Trees } from './trees.ts';
export { type Listing, NO_RELATIVES, type Page, type Related, type View, Views } from './views.ts';
export { type AddressRequest, VipAddresses } from './vip-addresses.ts';
