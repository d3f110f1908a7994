import { randomUUID } from 'node:crypto';
import type { Listener, LoadBalancer, Pool } from '@octavia/domain';
import { DataSource } from 'typeorm';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import {
  Database,
  Events,
  LoadBalancers,
  listenerSchema,
  loadBalancerSchema,
  type New,
  poolSchema,
  Trees,
  tables,
} from '../src/index.ts';
import { type TestDatabase, testDatabase } from '../src/testing/index.ts';

const intent = () => ({
  id: randomUUID(),
  projectId: 'p1',
  author: 'u1',
  requestId: randomUUID(),
  name: 'web',
  adminStateUp: true,
  tags: ['a', 'b,"c"'],
  provisioningStatus: 'ACTIVE' as const,
  fault: null,
  revision: 1,
  appliedRevision: 0,
});

const loadBalancer = (): New<LoadBalancer> => ({
  ...intent(),
  description: '',
  provider: 'amphora',
  flavorId: null,
  availabilityZone: null,
  apolocationGroup: 'shop',
  topology: 'SINGLE',
  vip: { address: '127.84.16.5', subnetId: randomUUID(), networkId: null, portId: null },
  desiredRevision: 1,
});

describe('a load balancer tree in the database', () => {
  let test: TestDatabase;
  let db: Database;
  beforeAll(async () => {
    test = await testDatabase();
    db = new Database({ url: test.url, applicationName: 'test' });
    await db.start();
  });
  afterAll(async () => {
    await db.stop();
    await test.drop();
  });

  it('comes back as it was written, through the tree, the repository and TypeORM alike', async () => {
    const lb = await tables.load_balancer.insert(db.reader, loadBalancer());
    const pool = await tables.pool.insert(db.reader, {
      ...intent(),
      loadBalancerId: lb.id,
      description: 'd',
      protocol: 'HTTP',
      lbAlgorithm: 'ROUND_ROBIN',
      sessionPersistence: { type: 'HTTP_COOKIE', cookieName: null },
    } satisfies New<Pool>);
    const listener = await tables.listener.insert(db.reader, {
      ...intent(),
      fault: { reason: 'CONFIGURATION_REFUSED', message: 'no' },
      loadBalancerId: lb.id,
      description: '',
      protocol: 'HTTP',
      protocolPort: 80,
      connectionLimit: -1,
      defaultPoolId: pool.id,
      insertHeaders: { 'X-Forwarded-For': 'true' },
      timeoutClientData: 50000,
      timeoutMemberConnect: 5000,
      timeoutMemberData: 50000,
      timeoutTcpInspect: 0,
    } satisfies New<Listener>);
    const tree = await new Trees().read(db.reader, lb.id);
    expect(tree).toEqual({ loadBalancer: lb, listeners: [listener], pools: [pool], members: [], healthMonitors: [] });
    expect(lb.createdAt).toBeInstanceOf(Date);
    expect(lb.vip.address).toBe('127.84.16.5');
    expect(lb.fault).toBeNull();
    expect(pool.sessionPersistence).toEqual({ type: 'HTTP_COOKIE', cookieName: null });
    const orm = await new DataSource({
      type: 'postgres',
      url: test.url,
      entities: [loadBalancerSchema, listenerSchema, poolSchema],
    }).initialize();
    onTestFinished(() => orm.destroy());
    expect(await orm.manager.findOneBy(listenerSchema, { id: listener.id })).toEqual(listener);
    const nulls = { reason: null, message: null };
    const placement = { computeFlavor: null, imageTag: null, zone: null, colocationLimit: null };
    expect(await orm.manager.findOneBy(loadBalancerSchema, { id: lb.id })).toEqual({ ...lb, fault: nulls, placement });
    expect(await orm.manager.findOneBy(poolSchema, { id: pool.id })).toEqual({ ...pool, fault: nulls });
    expect(await new Trees().read(db.reader, randomUUID())).toBeNull();
  });

  it('numbers events without gaps while many transactions append', async () => {
    const lb = await tables.load_balancer.insert(db.reader, loadBalancer());
    const append = () =>
      db.transaction(async (tx) => {
        await new LoadBalancers().lock(tx, lb.id);
        await new Events().append(tx, {
          loadBalancerId: lb.id,
          projectId: 'p1',
          author: 'u1',
          requestId: 'r1',
          kind: 'provisioning_status_changed',
          objectKind: 'load_balancer',
          objectId: lb.id,
          payload: { to: 'ACTIVE' },
        });
      });
    await Promise.all(Array.from({ length: 20 }, append));
    const rows = await db.reader.query('SELECT number FROM event WHERE load_balancer_id = $1 ORDER BY id', [lb.id]);
    expect(rows.map((row: { number: string }) => Number(row.number))).toEqual(
      Array.from({ length: 20 }, (_, i) => i + 1),
    );
  });
});
