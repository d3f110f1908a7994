import { randomUUID } from 'node:crypto';
import { Database, Flows, type ManagedSubnet, Subnets } from '@octavia/db';
import { type TestDatabase, testDatabase } from '@octavia/db/testing';
import { type Caller, NotFound, type ObjectKind } from '@octavia/domain';
import {
  AmphoraServiceClient,
  AvailabilityZoneProfileServiceClient,
  AvailabilityZoneServiceClient,
  EventServiceClient,
  FlavorProfileServiceClient,
  FlavorServiceClient,
  FlowServiceClient,
  HealthMonitorServiceClient,
  ListenerServiceClient,
  LoadBalancerServiceClient,
  LookupServiceClient,
  LookupServiceService,
  MemberServiceClient,
  OrphanServiceClient,
  PoolServiceClient,
  ProcessServiceService,
  ProviderServiceClient,
  RevisionServiceClient,
  SystemServiceClient,
} from '@octavia/proto';
import {
  type Definition,
  formatHostPort,
  GrpcServer,
  logger,
  ProcessIdentity,
  processHandlers,
  type RpcClient,
  rpcClient,
  type TlsFiles,
  unary,
} from '@octavia/service';
import { type TestPki, testPki } from '@octavia/service/testing';
import { addGateway } from '../src/gateway.ts';
import { Processes } from '../src/processes.ts';

const log = logger('test');
log.level = 'silent';
const bind = { host: '127.0.0.1', port: 0 };

/** A subnet that only the worker knows. */
export const FOREIGN_SUBNET = { id: randomUUID(), networkId: randomUUID(), cidr: '10.20.0.0/16' };

const breaker = {
  driver: 'amphora',
  retryAfter: undefined,
  lastErrorReason: 'AMPHORA_UNAVAILABLE',
  lastErrorMessage: 'It does not answer.',
  lastErrorAt: undefined,
};
/** What the worker says of its circuit breakers. */
const BREAKERS = [
  { ...breaker, endpoint: 'well', state: 'closed', since: undefined },
  { ...breaker, endpoint: 'old', state: 'open', since: new Date('2026-01-01') },
  { ...breaker, endpoint: 'new', state: 'open', since: new Date('2026-02-01') },
];
/** What the worker finds when it looks for orphans of any age. */
export const ORPHAN = {
  side: 'ORPHAN_SIDE_OUTSIDE',
  kind: 'instance',
  name: 'noop:x',
  driver: 'compute noop',
  amphoraId: randomUUID(),
  loadBalancerId: '',
  age: undefined,
  message: 'It is removed.',
} as const;

export interface World {
  readonly db: Database;
  readonly subnet: ManagedSubnet;
  readonly loadBalancers: RpcClient<typeof LoadBalancerServiceClient.service>;
  readonly listeners: RpcClient<typeof ListenerServiceClient.service>;
  readonly pools: RpcClient<typeof PoolServiceClient.service>;
  readonly members: RpcClient<typeof MemberServiceClient.service>;
  readonly healthMonitors: RpcClient<typeof HealthMonitorServiceClient.service>;
  readonly amphorae: RpcClient<typeof AmphoraServiceClient.service>;
  readonly flavors: RpcClient<typeof FlavorServiceClient.service>;
  readonly flavorProfiles: RpcClient<typeof FlavorProfileServiceClient.service>;
  readonly zones: RpcClient<typeof AvailabilityZoneServiceClient.service>;
  readonly zoneProfiles: RpcClient<typeof AvailabilityZoneProfileServiceClient.service>;
  readonly providers: RpcClient<typeof ProviderServiceClient.service>;
  readonly flows: RpcClient<typeof FlowServiceClient.service>;
  readonly events: RpcClient<typeof EventServiceClient.service>;
  readonly revisions: RpcClient<typeof RevisionServiceClient.service>;
  readonly system: RpcClient<typeof SystemServiceClient.service>;
  readonly orphans: RpcClient<typeof OrphanServiceClient.service>;
  readonly test: TestDatabase;
  /** A client of the gateway with another definition of the contract. */
  raw<D extends Definition>(service: D): RpcClient<D>;
  stop(): Promise<void>;
}

export interface WorldOptions {
  readonly quotas?: Partial<Record<ObjectKind, number>>;
  readonly hasSubnet?: boolean;
}

/** The real gateway over mutual TLS with a real database, and a worker that answers look-ups. Flows are queued, and nobody runs them. */
export async function startWorld(options: WorldOptions = {}): Promise<World> {
  const test = await testDatabase();
  const db = new Database({ url: test.url, applicationName: 'gateway', poolSize: 16 });
  await db.start();
  const subnet = {
    id: randomUUID(),
    name: 'vips',
    networkId: randomUUID(),
    cidr: '127.84.0.0/16',
    gateway: null,
    vipRange: { first: '127.84.16.10', last: '127.84.23.254' },
  };
  if (options.hasSubnet !== false) await new Subnets().upsert(db.reader, [subnet]);
  const pki = await testPki();
  const worker = await startWorker(pki);
  const tls = await pki.cert('api-gateway');
  const lookup = rpcClient(LookupServiceClient, worker.address, tls);
  const processes = new Processes(tls);
  const server = new GrpcServer({ bind, tls, allowedClients: ['api-tier'], log });
  addGateway(server, {
    db,
    flows: new Flows(),
    lookup,
    policy: {
      topology: 'SINGLE',
      reservedIps: new Set(['169.254.169.254', 'fd00::1']),
      defaultQuotas: { load_balancer: -1, listener: -1, pool: -1, member: -1, health_monitor: -1, ...options.quotas },
      flowDeadlineMs: 60_000,
    },
    installation: {
      self: new ProcessIdentity('api-gateway', [tls]),
      address: { host: '127.0.0.1', port: 9876 },
      services: [
        { name: 'worker', address: worker.address },
        // Nothing listens on port 1.
        { name: 'housekeeping', address: { host: '127.0.0.1', port: 1 } },
      ],
      processes,
      sparesWanted: 2,
      heartbeatTimeoutMs: 10_000,
    },
  });
  await server.start();
  const clientTls = await pki.cert('api-tier');
  const clients = openClients(clientTls, formatHostPort(server.address));
  return {
    db,
    subnet,
    test,
    ...clients,
    raw: (service) => rpcClient({ service }, server.address, clientTls),
    async stop() {
      for (const client of Object.values(clients)) client.close();
      await server.stop();
      lookup.close();
      processes.close();
      await worker.stop();
      await db.stop();
      await test.drop();
      pki.remove();
    },
  };
}

async function startWorker(pki: TestPki): Promise<GrpcServer> {
  const tls = await pki.cert('worker');
  const worker = new GrpcServer({ bind, tls, allowedClients: ['api-gateway'], log });
  worker.add(ProcessServiceService, processHandlers(new ProcessIdentity('worker', [tls])));
  worker.add(LookupServiceService, {
    getSubnet: unary(({ id }) => {
      if (id !== FOREIGN_SUBNET.id) throw new NotFound('subnet', id);
      return FOREIGN_SUBNET;
    }),
    getDrivers: unary(() => ({ names: { compute: 'noop' }, mode: 'loopback' })),
    getBreakers: unary(() => ({ breakers: BREAKERS.map((one) => ({ ...one })) })),
    findOrphans: unary(({ olderThan }) => ({ orphans: olderThan ? [] : [ORPHAN], truncated: false })),
  });
  await worker.start();
  return worker;
}

function openClients(tls: TlsFiles, address: string) {
  return {
    loadBalancers: rpcClient(LoadBalancerServiceClient, address, tls),
    listeners: rpcClient(ListenerServiceClient, address, tls),
    pools: rpcClient(PoolServiceClient, address, tls),
    members: rpcClient(MemberServiceClient, address, tls),
    healthMonitors: rpcClient(HealthMonitorServiceClient, address, tls),
    amphorae: rpcClient(AmphoraServiceClient, address, tls),
    flavors: rpcClient(FlavorServiceClient, address, tls),
    flavorProfiles: rpcClient(FlavorProfileServiceClient, address, tls),
    zones: rpcClient(AvailabilityZoneServiceClient, address, tls),
    zoneProfiles: rpcClient(AvailabilityZoneProfileServiceClient, address, tls),
    providers: rpcClient(ProviderServiceClient, address, tls),
    flows: rpcClient(FlowServiceClient, address, tls),
    events: rpcClient(EventServiceClient, address, tls),
    revisions: rpcClient(RevisionServiceClient, address, tls),
    system: rpcClient(SystemServiceClient, address, tls),
    orphans: rpcClient(OrphanServiceClient, address, tls),
  };
}

/** A member of a project. */
export function tenant(
  projectId: string = randomUUID(),
  roles = ['load-balancer_member'],
): { caller: Partial<Caller> } {
  return { caller: { projectId, userId: 'alice', roles } };
}

export const admin = { caller: { projectId: 'admins', userId: 'root', roles: ['load-balancer_admin'] } };

/** What a call failed with, in short: reason, and the bad fields with their reasons. */
export async function failure(call: Promise<unknown>) {
  const error = await call.then(
    () => {
      throw new Error('The call succeeded.');
    },
    (thrown) => thrown,
  );
  const violations: { field: string; reason: string }[] = error.violations ?? [];
  return {
    kind: error.kind as string,
    reason: error.reason as string,
    fields: Object.fromEntries(violations.map(({ field, reason }) => [field, reason])),
    details: error.details as Record<string, string>,
  };
}

/** Ends everything that is under way as a worker would, so that objects become ACTIVE and deleted ones are gone. */
export async function settle({ db }: Pick<World, 'db'>, loadBalancerId: string): Promise<void> {
  await db.transaction(async (tx) => {
    await tx.query('SELECT 1 FROM load_balancer WHERE id = $1 FOR UPDATE', [loadBalancerId]);
    for (const kind of ['health_monitor', 'member', 'listener', 'pool']) {
      await tx.query(`DELETE FROM ${kind} WHERE load_balancer_id = $1 AND provisioning_status = 'PENDING_DELETE'`, [
        loadBalancerId,
      ]);
      await tx.query(
        `UPDATE ${kind} SET provisioning_status = 'ACTIVE', applied_revision = revision WHERE load_balancer_id = $1`,
        [loadBalancerId],
      );
    }
    await tx.query(
      `UPDATE load_balancer SET applied_revision = desired_revision, deleted_at =
         CASE WHEN provisioning_status = 'PENDING_DELETE' THEN now() END,
         provisioning_status = CASE WHEN provisioning_status = 'PENDING_DELETE' THEN 'DELETED' ELSE 'ACTIVE' END
       WHERE id = $1`,
      [loadBalancerId],
    );
    await tx.query(
      `UPDATE flow SET state = 'SUCCEEDED', finished_at = now() WHERE load_balancer_id = $1 AND state = 'QUEUED'`,
      [loadBalancerId],
    );
    await tx.query(`SELECT pg_notify('event', $1)`, [loadBalancerId]);
  });
}

/** Names of the flows that are queued for a load balancer, in order. */
export async function queued({ db }: Pick<World, 'db'>, loadBalancerId: string): Promise<string[]> {
  const rows = await db.reader.query(
    `SELECT name FROM flow WHERE load_balancer_id = $1 AND state = 'QUEUED' ORDER BY id`,
    [loadBalancerId],
  );
  return rows.map((row: { name: string }) => row.name);
}
