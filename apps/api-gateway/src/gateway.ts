import type { Database } from '@octavia/db';
import {
  AmphoraServiceService,
  AvailabilityZoneProfileServiceService,
  AvailabilityZoneServiceService,
  EventServiceService,
  FlavorProfileServiceService,
  FlavorServiceService,
  FlowServiceService,
  HealthMonitorServiceService,
  ListenerServiceService,
  LoadBalancerServiceService,
  MemberServiceService,
  OrphanServiceService,
  PoolServiceService,
  ProviderServiceService,
  RevisionServiceService,
  SystemServiceService,
} from '@octavia/proto';
import type { GrpcServer } from '@octavia/service';
import { Changes, type FlowStarter } from './changes.ts';
import { amphoraHandlers } from './handlers/amphora.ts';
import { availabilityZoneHandlers, availabilityZoneProfileHandlers } from './handlers/availability-zone.ts';
import { eventHandlers } from './handlers/event.ts';
import { flavorHandlers, flavorProfileHandlers } from './handlers/flavor.ts';
import { flowHandlers } from './handlers/flow.ts';
import { healthMonitorHandlers } from './handlers/health-monitor.ts';
import { listenerHandlers } from './handlers/listener.ts';
import { loadBalancerHandlers } from './handlers/load-balancer.ts';
import { memberHandlers } from './handlers/member.ts';
import { orphanHandlers } from './handlers/orphan.ts';
import { poolHandlers } from './handlers/pool.ts';
import { providerHandlers } from './handlers/provider.ts';
import { revisionHandlers } from './handlers/revision.ts';
import { systemHandlers } from './handlers/system.ts';
import type { Installation, Lookup, Parts, Policy } from './parts.ts';
import { Replies } from './replies.ts';
import { SubnetFinder } from './subnet-finder.ts';

export interface GatewayOptions {
  readonly db: Database;
  readonly flows: FlowStarter;
  readonly lookup: Lookup;
  readonly policy: Policy;
  readonly installation: Installation;
}

/** Adds every service of octavia.v1 to the server. */
export function addGateway(server: GrpcServer, options: GatewayOptions): GrpcServer {
  const { db, flows, lookup, policy, installation } = options;
  const replies = new Replies(db);
  const changes = new Changes(db, flows, replies, policy);
  const subnets = new SubnetFinder(db, lookup);
  const parts: Parts = { db, policy, changes, replies, subnets, lookup, installation };
  return server
    .add(LoadBalancerServiceService, loadBalancerHandlers(parts))
    .add(ListenerServiceService, listenerHandlers(parts))
    .add(PoolServiceService, poolHandlers(parts))
    .add(MemberServiceService, memberHandlers(parts))
    .add(HealthMonitorServiceService, healthMonitorHandlers(parts))
    .add(FlavorServiceService, flavorHandlers(parts))
    .add(FlavorProfileServiceService, flavorProfileHandlers(parts))
    .add(AvailabilityZoneServiceService, availabilityZoneHandlers(parts))
    .add(AvailabilityZoneProfileServiceService, availabilityZoneProfileHandlers(parts))
    .add(ProviderServiceService, providerHandlers())
    .add(AmphoraServiceService, amphoraHandlers(parts))
    .add(FlowServiceService, flowHandlers(parts))
    .add(EventServiceService, eventHandlers(parts))
    .add(OrphanServiceService, orphanHandlers(parts))
    .add(RevisionServiceService, revisionHandlers(parts))
    .add(SystemServiceService, systemHandlers(parts));
}
