import { NoFreeAddress, VipAddressTaken } from '@octavia/domain';
import { v7 as uuidv7 } from 'uuid';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Database, LoadBalancers, Subnets, type Tx, VipAddresses } from '../src/index.ts';
import type { TestDatabase } from '../src/testing/index.ts';
import { insertSubnet, newLoadBalancer, openTestDatabase } from './objects.ts';

/** Ends a transaction without a trace of it. */
class RolledBack extends Error {
  readonly address: string;
  constructor(address: string) {
    super('rolled back');
    this.address = address;
  }
}

describe('VIP addresses', () => {
  let test: TestDatabase;
  let db: Database;
  const vips = new VipAddresses();
  beforeAll(async () => {
    ({ db, test } = await openTestDatabase());
  });
  afterAll(async () => {
    await db.stop();
    await test.drop();
  });

  /** A create as the gateway does it: the address first, then the row, then some more work. */
  const create = (subnetId: string, address: string | null = null, id = uuidv7()) =>
    db.transaction(async (tx) => {
      const given = await vips.allocate(tx, { subnetId, address, loadBalancerId: id });
      await new LoadBalancers().insert(tx, newLoadBalancer({ id }));
      await tx.query('SELECT pg_sleep(0.002)');
      return given;
    });

  it('are distinct however many are given out at once', async () => {
    const subnet = await insertSubnet(db, '127.84.16.10', '127.84.23.254');
    const given = await Promise.all(Array.from({ length: 50 }, () => create(subnet.id)));
    expect(new Set(given).size).toBe(50);
    expect(given.every((address) => address.startsWith('127.84.'))).toBe(true);
  });

  it('are given out to the last one, and then no more', async () => {
    const subnet = await insertSubnet(db, '127.84.30.1', '127.84.30.64');
    const tries = await Promise.allSettled(Array.from({ length: 80 }, () => create(subnet.id)));
    const given = tries.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
    expect(new Set(given).size).toBe(64);
    const failures = tries.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []));
    expect(failures).toHaveLength(16);
    expect(failures.every((failure) => failure instanceof NoFreeAddress)).toBe(true);
  });

  it('do not make creates wait for one another', async () => {
    const subnet = await insertSubnet(db, '127.84.31.1', '127.84.31.2');
    const allocate = (tx: Tx) => vips.allocate(tx, { subnetId: subnet.id, address: null, loadBalancerId: uuidv7() });
    // Of two addresses both would pick the same one half of the time.
    for (let round = 0; round < 10; round++) {
      const both = db.transaction(async (first) => {
        const one = await allocate(first);
        // The first has not committed, so its row cannot be seen yet.
        const second = db.transaction(async (tx) => {
          await tx.query(`SET LOCAL lock_timeout = '5s'`);
          throw new RolledBack(await allocate(tx));
        });
        const two = await second.catch((error) => error.address);
        throw new RolledBack([one, two].sort().join(' '));
      });
      expect(await both.catch((error) => error.address)).toBe('127.84.31.1 127.84.31.2');
    }
  });

  it('that a caller names are given once', async () => {
    const subnet = await insertSubnet(db, '127.84.32.1', '127.84.32.9');
    const tries = await Promise.allSettled([create(subnet.id, '127.84.32.5'), create(subnet.id, '127.84.32.5')]);
    expect(tries.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    const [failure] = tries.filter((result) => result.status === 'rejected');
    expect(failure?.reason).toBeInstanceOf(VipAddressTaken);
  });

  it('rest after a release, and are then used again', async () => {
    const subnet = await insertSubnet(db, '127.84.33.1', '127.84.33.1');
    const id = uuidv7();
    await create(subnet.id, null, id);
    await vips.release(db.reader, id, 3_600_000);
    await expect(create(subnet.id)).rejects.toThrow(NoFreeAddress);
    await expect(create(subnet.id, '127.84.33.1')).rejects.toThrow(VipAddressTaken);
    await db.reader.query(`UPDATE vip_address SET free_at = now() - interval '1 s' WHERE subnet_id = $1`, [subnet.id]);
    expect(await create(subnet.id)).toBe('127.84.33.1');
  });

  it('stay free when the create is rolled back', async () => {
    const subnet = await insertSubnet(db, '127.84.34.1', '127.84.34.1');
    const failing = db.transaction(async (tx) => {
      await vips.allocate(tx, { subnetId: subnet.id, address: null, loadBalancerId: uuidv7() });
      throw new Error('no');
    });
    await expect(failing).rejects.toThrow('no');
    expect(await create(subnet.id)).toBe('127.84.34.1');
  });

  it('come from the newest default subnet unless another is named', async () => {
    await insertSubnet(db, '127.84.35.1', '127.84.35.9');
    const second = await insertSubnet(db, '127.84.36.1', '127.84.36.9');
    expect(await new Subnets().default(db.reader)).toEqual(second);
    expect(await new Subnets().get(db.reader, second.id)).toEqual(second);
    expect(await new Subnets().get(db.reader, uuidv7())).toBeNull();
  });
});
