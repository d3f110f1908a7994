import { createHash, randomUUID } from 'node:crypto';
import {
  AlreadyExists,
  deltaOf,
  EtagMismatch,
  etagOf,
  type Intent,
  LoadBalancerBeingDeleted,
  NotFound,
  QuotaExceeded,
} from '@octavia/domain';
import { v7 as uuidv7 } from 'uuid';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type Database,
  Deployments,
  Flows,
  HealthMonitors,
  Idempotency,
  Listeners,
  LoadBalancers,
  Members,
  Pools,
  pendingDetails,
  Quotas,
  Revisions,
  Trees,
  tables,
  Views,
} from '../src/index.ts';
import type { TestDatabase } from '../src/testing/index.ts';
import {
  by,
  insertLoadBalancer,
  newHealthMonitor,
  newListener,
  newMember,
  newPool,
  openTestDatabase,
} from './objects.ts';

let test: TestDatabase;
let db: Database;
beforeAll(async () => {
  ({ db, test } = await openTestDatabase());
});
afterAll(async () => {
  await db.stop();
  await test.drop();
});

const reasons = (results: PromiseSettledResult<unknown>[]) =>
  results.flatMap((result) => (result.status === 'rejected' ? [result.reason.reason] : []));

describe('what a deployment can do', () => {
  it('is unknown until a worker told it, and then what the last one told', async () => {
    const deployments = new Deployments();
    expect(await deployments.get(db.reader)).toBeNull();
    const loopback = { topologies: ['SINGLE'], reachesLoopback: true, hostAddress: null } as const;
    const namespaces = {
      topologies: ['SINGLE', 'ACTIVE_STANDBY'],
      reachesLoopback: false,
      hostAddress: '10.84.0.1',
    } as const;
    for (const told of [loopback, namespaces]) {
      await db.transaction((tx) => deployments.put(tx, told));
      expect(await deployments.get(db.reader)).toEqual(told);
    }
  });
});

describe('a change', () => {
  const loadBalancers = new LoadBalancers();
  const change = (id: string, name: string) =>
    db.transaction(async (tx) => {
      const begun = await loadBalancers.begin(tx, 'update', id, 'p1');
      const updated = await loadBalancers.update(tx, begun, { name }, by);
      const changes = deltaOf(begun, updated);
      await new Revisions().append(
        tx,
        begun,
        { objectKind: 'load_balancer', objectId: id, action: 'UPDATE', changes },
        by,
      );
      return updated;
    });

  it('takes its turn with the others of the same load balancer, and each has a number of its own', async () => {
    const { id } = await insertLoadBalancer(db);
    await Promise.all(Array.from({ length: 10 }, (_, i) => change(id, `name ${i}`)));
    const after = await loadBalancers.get(db.reader, id, 'p1');
    expect(after).toMatchObject({ desiredRevision: 11, revision: 11, provisioningStatus: 'PENDING_UPDATE' });
    const rows = await db.reader.query(
      'SELECT number, changes FROM revision WHERE load_balancer_id = $1 ORDER BY number',
      [id],
    );
    expect(rows.map((row: { number: number }) => row.number)).toEqual([2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    for (const [i, row] of rows.entries()) expect(row.changes.name[0]).toBe(i === 0 ? '' : rows[i - 1].changes.name[1]);
    const events = await db.reader.query('SELECT number FROM event WHERE load_balancer_id = $1 ORDER BY id', [id]);
    expect(events.map((row: { number: string }) => Number(row.number))).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  });

  it('names only what differs, and all of a new object', () => {
    const now = { name: 'b', tags: ['x'], revision: 2, vip: null };
    expect(deltaOf({ name: 'a', tags: ['x'], revision: 1, vip: null }, now)).toEqual({ name: ['a', 'b'] });
    expect(deltaOf(null, now)).toEqual({ name: ['b'], tags: [['x']], vip: [null] });
  });

  it('is refused with another etag, by another project, and once it is being deleted', async () => {
    const lb = await insertLoadBalancer(db);
    const begin = (scope: string | null, etag?: string) =>
      db.transaction((tx) => loadBalancers.begin(tx, 'update', lb.id, scope, etag));
    await expect(begin('p1', 'other')).rejects.toThrow(EtagMismatch);
    await expect(begin('p2')).rejects.toThrow(NotFound);
    expect(await begin(null, etagOf(lb))).toMatchObject({ desiredRevision: 2 });
    await db.reader.query(`UPDATE load_balancer SET provisioning_status = 'PENDING_DELETE' WHERE id = $1`, [lb.id]);
    await expect(begin('p1')).rejects.toThrow(LoadBalancerBeingDeleted);
    await db.reader.query(
      `UPDATE load_balancer SET provisioning_status = 'DELETED', deleted_at = now() WHERE id = $1`,
      [lb.id],
    );
    await expect(begin('p1')).rejects.toThrow(NotFound);
    await expect(loadBalancers.get(db.reader, lb.id, null)).rejects.toThrow(NotFound);
  });

  it('of a child locks its load balancer and reads the child under that lock', async () => {
    const lb = await insertLoadBalancer(db);
    const listener = await new Listeners().insert(db.reader, newListener(lb.id));
    const counts = await Promise.all(
      Array.from({ length: 5 }, () =>
        db.transaction(async (tx) => {
          const { loadBalancer, object } = await new Listeners().begin(tx, listener.id, 'p1');
          const timeout = object.timeoutClientData + 1;
          await new Listeners().update(tx, loadBalancer, object.id, { timeoutClientData: timeout }, by);
          const changes = { timeoutClientData: [object.timeoutClientData, timeout] };
          await new Revisions().append(
            tx,
            loadBalancer,
            { objectKind: 'listener', objectId: object.id, action: 'UPDATE', changes },
            by,
          );
          return timeout;
        }),
      ),
    );
    expect(counts.sort()).toEqual([50_001, 50_002, 50_003, 50_004, 50_005]);
  });
});

describe('a unique property', () => {
  it('goes to one of two creates at once', async () => {
    const lb = await insertLoadBalancer(db);
    const pool = await new Pools().insert(db.reader, newPool(lb.id));
    const twice = (insert: () => Promise<unknown>) => Promise.allSettled([insert(), insert()]);
    const listener = () => db.transaction((tx) => new Listeners().insert(tx, newListener(lb.id)));
    expect(reasons(await twice(listener))).toEqual(['LISTENER_PORT_TAKEN']);
    const member = () => db.transaction((tx) => new Members().insert(tx, newMember(lb.id, pool.id)));
    expect(reasons(await twice(member))).toEqual(['MEMBER_EXISTS']);
    const monitor = () => db.transaction((tx) => new HealthMonitors().insert(tx, newHealthMonitor(lb.id, pool.id)));
    expect(reasons(await twice(monitor))).toEqual(['POOL_HAS_HEALTH_MONITOR']);
  });

  it('is free again once its holder is being deleted, and separate for UDP', async () => {
    const lb = await insertLoadBalancer(db);
    const first = await new Listeners().insert(db.reader, newListener(lb.id));
    await new Listeners().insert(db.reader, newListener(lb.id, { protocol: 'UDP' }));
    await new Listeners().markDeleting(db.reader, { ...lb, desiredRevision: 2 }, by, 'id', first.id);
    await new Listeners().insert(db.reader, newListener(lb.id));
  });
});

describe('deleting', () => {
  it('marks a pool with all that is below it, and takes it from its listeners', async () => {
    const lb = await insertLoadBalancer(db);
    const pool = await new Pools().insert(db.reader, newPool(lb.id));
    const listener = await new Listeners().insert(db.reader, newListener(lb.id, { defaultPoolId: pool.id }));
    await new Members().insert(db.reader, newMember(lb.id, pool.id));
    const begun = { ...lb, desiredRevision: 2 };
    expect(await new Pools().usersOf(db.reader, pool.id)).toEqual([listener]);
    const [detached] = await new Listeners().detachPool(db.reader, begun, pool.id, by);
    expect(detached).toMatchObject({ defaultPoolId: null, provisioningStatus: 'PENDING_UPDATE', revision: 2 });
    const [member] = await new Members().markDeleting(db.reader, begun, by, 'pool_id', pool.id);
    expect(member).toMatchObject({ provisioningStatus: 'PENDING_DELETE', revision: 2 });
    expect(await new Members().markDeleting(db.reader, begun, by, 'pool_id', pool.id)).toEqual([]);
  });

  it('with cascade marks everything', async () => {
    const lb = await insertLoadBalancer(db);
    const pool = await new Pools().insert(db.reader, newPool(lb.id));
    await new Listeners().insert(db.reader, newListener(lb.id));
    await new HealthMonitors().insert(db.reader, newHealthMonitor(lb.id, pool.id));
    await new Members().insert(db.reader, newMember(lb.id, pool.id));
    expect(await new LoadBalancers().hasChildren(db.reader, lb.id)).toBe(true);
    await new LoadBalancers().markChildrenDeleting(db.reader, { ...lb, desiredRevision: 7 }, by);
    const tree = await new Trees().read(db.reader, lb.id);
    const children = [tree?.listeners, tree?.pools, tree?.members, tree?.healthMonitors].flatMap(
      (list): readonly Intent[] => list ?? [],
    );
    expect(children).toHaveLength(4);
    for (const child of children) expect(child).toMatchObject({ provisioningStatus: 'PENDING_DELETE', revision: 7 });
  });
});

describe('a quota', () => {
  const quotas = new Quotas();
  const reserve = (project: string, limit: number, count = 1) =>
    db.transaction((tx) => quotas.reserve(tx, project, 'listener', count, limit));
  const inUse = async (project: string) => {
    const [row] = await db.reader.query(`SELECT in_use FROM quota WHERE project_id = $1 AND resource = 'listener'`, [
      project,
    ]);
    return row?.in_use;
  };

  it('is exact however many ask at once', async () => {
    const tries = await Promise.allSettled(Array.from({ length: 30 }, () => reserve('exact', 10)));
    expect(tries.filter(({ status }) => status === 'fulfilled')).toHaveLength(10);
    expect(new Set(reasons(tries))).toEqual(new Set(['QUOTA_EXCEEDED']));
    expect(await inUse('exact')).toBe(10);
  });

  it('counts without a limit, and never below zero', async () => {
    await reserve('unlimited', -1, 5);
    await quotas.release(db.reader, 'unlimited', { listener: 2, pool: 1 });
    expect(await inUse('unlimited')).toBe(3);
    await quotas.release(db.reader, 'unlimited', { listener: 9 });
    expect(await inUse('unlimited')).toBe(0);
  });

  it('of the project counts more than the default', async () => {
    await expect(reserve('own', 0)).rejects.toThrow(QuotaExceeded);
    await db.reader.query(`INSERT INTO quota (project_id, resource, max) VALUES ('own', 'listener', 2)`);
    await reserve('own', 0, 2);
    await expect(reserve('own', 5)).rejects.toThrow(/quota of 2/);
    await db.reader.query(`UPDATE quota SET max = -1 WHERE project_id = 'own'`);
    await reserve('own', 0, 7);
  });
});

describe('a request id', () => {
  const claim = (requestId: string, text: string, objectId: string, work = async () => {}) =>
    db.transaction(async (tx) => {
      const hash = createHash('sha256').update(text).digest();
      const first = await new Idempotency().claim(tx, { projectId: 'p1', requestId, method: 'm', hash, objectId });
      if (first === null) await work();
      return first;
    });

  it('makes the twin wait for the first, and gives it the same object', async () => {
    const requestId = randomUUID();
    const [a, b] = [uuidv7(), uuidv7()];
    const hold = Promise.withResolvers<void>();
    const isIn = Promise.withResolvers<void>();
    const first = claim(requestId, 'x', a, async () => {
      isIn.resolve();
      await hold.promise;
    });
    await isIn.promise;
    const twin = claim(requestId, 'x', b);
    // The twin is seen to wait for the first's transaction.
    await expect
      .poll(() => db.reader.query(`SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'`), { timeout: 10_000 })
      .toHaveLength(1);
    hold.resolve();
    expect([await first, await twin]).toEqual([null, a]);
  });

  it('is claimed by the twin when the first fails', async () => {
    const requestId = randomUUID();
    const failing = claim(requestId, 'x', uuidv7(), () => Promise.reject(new Error('no')));
    await expect(failing).rejects.toThrow('no');
    expect(await claim(requestId, 'x', uuidv7())).toBeNull();
  });

  it('cannot be used for another request', async () => {
    const requestId = randomUUID();
    await claim(requestId, 'x', uuidv7());
    await expect(claim(requestId, 'y', uuidv7())).rejects.toThrow(AlreadyExists);
  });
});

describe('what a caller sees', () => {
  const views = new Views();
  const listing = { scope: 'lister', name: null, parentId: null, pageSize: 2, pageToken: '' };

  it('comes in pages, oldest first, each object once', async () => {
    for (let i = 0; i < 5; i++) await insertLoadBalancer(db, { projectId: 'lister', name: i === 4 ? 'last' : 'web' });
    const names: string[] = [];
    const seen = new Set<string>();
    let pageToken = '';
    do {
      const page = await views.list(db.reader, 'load_balancer', { ...listing, pageToken });
      for (const { object } of page.items) {
        names.push(object.name);
        seen.add(object.id);
      }
      pageToken = page.nextPageToken;
    } while (pageToken !== '');
    expect(names).toEqual(['web', 'web', 'web', 'web', 'last']);
    expect(seen.size).toBe(5);
    const exact = await views.list(db.reader, 'load_balancer', { ...listing, pageSize: 5 });
    expect(exact.nextPageToken).toBe('');
    const named = await views.list(db.reader, 'load_balancer', { ...listing, name: 'last' });
    expect(named.items).toHaveLength(1);
  });

  it('is not paged with a token of another listing, or one that is made up', async () => {
    const { nextPageToken } = await views.list(db.reader, 'load_balancer', listing);
    const list = (fields: object) => views.list(db.reader, 'load_balancer', { ...listing, ...fields });
    for (const fields of [
      { pageToken: nextPageToken, name: 'web' },
      { pageToken: nextPageToken, scope: null },
      { pageToken: nextPageToken, pageSize: 3 },
      { pageToken: 'AAAA' },
      { pageToken: Buffer.from('[1,"x","y"]').toString('base64url') },
      { pageToken: 'x'.repeat(300) },
    ]) {
      await expect(list(fields)).rejects.toMatchObject({ reason: 'INVALID_PAGE_TOKEN' });
    }
  });

  it('includes ids of what is near, without what is being deleted', async () => {
    const lb = await insertLoadBalancer(db);
    const pool = await new Pools().insert(db.reader, newPool(lb.id));
    const listener = await new Listeners().insert(db.reader, newListener(lb.id, { defaultPoolId: pool.id }));
    const gone = await new Listeners().insert(db.reader, newListener(lb.id, { protocolPort: 81 }));
    await new Listeners().markDeleting(db.reader, lb, by, 'id', gone.id);
    const member = await new Members().insert(db.reader, newMember(lb.id, pool.id));
    const monitor = await new HealthMonitors().insert(db.reader, newHealthMonitor(lb.id, pool.id));
    await db.reader.query(
      `INSERT INTO operating_status (object_id, load_balancer_id, object_kind, status) VALUES ($1, $2, 'pool', 'ONLINE')`,
      [pool.id, lb.id],
    );
    const whole = await views.get(db.reader, 'load_balancer', lb.id, 'p1');
    expect(whole.related).toMatchObject({ listenerIds: [listener.id], poolIds: [pool.id] });
    const view = await views.get(db.reader, 'pool', pool.id, 'p1');
    expect(view).toEqual({
      object: pool,
      operatingStatus: 'ONLINE',
      related: {
        listenerIds: [listener.id],
        poolIds: [],
        memberIds: [member.id],
        healthMonitorId: monitor.id,
        servedRevision: 0,
      },
    });
    await expect(views.get(db.reader, 'pool', pool.id, 'p2')).rejects.toThrow(NotFound);
    expect(await views.operatingStatuses(db.reader, lb.id)).toEqual(new Map([[pool.id, 'ONLINE']]));
  });

  it('tells which flow works on it', async () => {
    const lb = await insertLoadBalancer(db);
    const settled = await insertLoadBalancer(db);
    const flow = (name: string, priority: number) =>
      db.transaction((tx) =>
        new Flows().start(tx, {
          name,
          version: 1,
          priority,
          turnKey: lb.id,
          loadBalancerId: lb.id,
          amphoraId: null,
          projectId: 'p1',
          author: 'u1',
          requestId: 'r1',
          input: {},
          deadlineMs: 60_000,
          stopsOthers: false,
        }),
      );
    await flow('load_balancer.update', 20);
    const failover = await flow('load_balancer.failover', 0);
    const details = await pendingDetails(db.reader, [lb.id, settled.id]);
    expect([...details.keys()]).toEqual([lb.id]);
    expect(details.get(lb.id)).toMatchObject({
      flow: 'load_balancer.failover',
      flowId: failover,
      step: null,
      attempt: 0,
      waitingFor: 'its turn',
      lastError: null,
      traceId: null,
    });
  });
});

it('every column of a mapped table that callers set is mapped', async () => {
  for (const table of Object.values(tables)) {
    const columns: { column_name: string }[] = await db.reader.query(
      'SELECT column_name FROM information_schema.columns WHERE table_name = $1',
      [table.name],
    );
    const mapped = new Set(table.columns('o').split(', '));
    const unmapped = columns.map(({ column_name }) => column_name).filter((name) => !mapped.has(`o.${name}`));
    const ours = ['l4_protocol', 'last_event', 'deleted_at'];
    expect(unmapped.filter((name) => !ours.includes(name))).toEqual([]);
  }
});
