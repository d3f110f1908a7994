import { randomUUID } from 'node:crypto';
import type { HealthMonitor, Listener, LoadBalancer, Member, Pool } from '@octavia/domain';
import { v7 as uuidv7 } from 'uuid';
import { Database, type ManagedSubnet, type New, Subnets, tables } from '../src/index.ts';
import { type TestDatabase, testDatabase } from '../src/testing/index.ts';

/** A database of its own for one test file. */
export async function openTestDatabase(poolSize = 20): Promise<{ db: Database; test: TestDatabase }> {
  const test = await testDatabase();
  const db = new Database({ url: test.url, applicationName: 'test', poolSize });
  await db.start();
  return { db, test };
}

export const by = { author: 'u1', requestId: randomUUID() };

const intent = () => ({
  id: uuidv7(),
  projectId: 'p1',
  ...by,
  name: '',
  adminStateUp: true,
  tags: [],
  provisioningStatus: 'ACTIVE' as const,
  fault: null,
  revision: 1,
  appliedRevision: 1,
});

export const newLoadBalancer = (fields: Partial<LoadBalancer> = {}): New<LoadBalancer> => ({
  ...intent(),
  description: '',
  provider: 'amphora',
  flavorId: null,
  availabilityZone: null,
  apolocationGroup: null,
  topology: 'SINGLE',
  vip: { address: '127.84.16.5', subnetId: randomUUID(), networkId: null, portId: null },
  desiredRevision: 1,
  ...fields,
});

export const newListener = (loadBalancerId: string, fields: Partial<Listener> = {}): New<Listener> => ({
  ...intent(),
  loadBalancerId,
  description: '',
  protocol: 'HTTP',
  protocolPort: 80,
  connectionLimit: -1,
  defaultPoolId: null,
  insertHeaders: {},
  timeoutClientData: 50_000,
  timeoutMemberConnect: 5_000,
  timeoutMemberData: 50_000,
  timeoutTcpInspect: 0,
  ...fields,
});

export const newPool = (loadBalancerId: string, fields: Partial<Pool> = {}): New<Pool> => ({
  ...intent(),
  loadBalancerId,
  description: '',
  protocol: 'HTTP',
  lbAlgorithm: 'ROUND_ROBIN',
  sessionPersistence: null,
  ...fields,
});

export const newMember = (loadBalancerId: string, poolId: string, fields: Partial<Member> = {}): New<Member> => ({
  ...intent(),
  loadBalancerId,
  poolId,
  address: '10.0.0.1',
  protocolPort: 80,
  weight: 1,
  backup: false,
  subnetId: null,
  monitorAddress: null,
  monitorPort: null,
  ...fields,
});

export const newHealthMonitor = (loadBalancerId: string, poolId: string): New<HealthMonitor> => ({
  ...intent(),
  loadBalancerId,
  poolId,
  type: 'HTTP',
  delay: 2,
  timeout: 1,
  maxRetries: 2,
  maxRetriesDown: 3,
  httpMethod: 'GET',
  urlPath: '/',
  expectedCodes: '200',
  httpVersion: null,
  domainName: null,
});

/** A load balancer without a listener, ACTIVE. */
export const insertLoadBalancer = (db: Database, fields: Partial<LoadBalancer> = {}) =>
  tables.load_balancer.insert(db.reader, newLoadBalancer(fields));

export async function insertSubnet(db: Database, first: string, last: string): Promise<ManagedSubnet> {
  const subnet = {
    id: randomUUID(),
    name: 'vips',
    networkId: randomUUID(),
    cidr: '127.84.0.0/16',
    gateway: null,
    vipRange: { first, last },
  };
  await new Subnets().upsert(db.reader, [subnet]);
  return subnet;
}
