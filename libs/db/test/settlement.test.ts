import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Database, Settlement, tables } from '../src/index.ts';
import type { TestDatabase } from '../src/testing/index.ts';
import { insertLoadBalancer, newListener, openTestDatabase } from './objects.ts';

let db: Database;
let test: TestDatabase;
beforeAll(async () => {
  ({ db, test } = await openTestDatabase(5));
});
afterAll(async () => {
  await db.stop();
  await test.drop();
});

const settlement = new Settlement();

it('leaves updated_at to the caller: settling and failing are our progress', async () => {
  const pending = { provisioningStatus: 'PENDING_CREATE', appliedRevision: 0 } as const;
  const lb = await insertLoadBalancer(db, pending);
  const listener = await tables.listener.insert(db.reader, newListener(lb.id, pending));
  const read = async () => {
    const rows = await db.reader.query(
      `SELECT provisioning_status, updated_at FROM load_balancer WHERE id = $1
       UNION ALL SELECT provisioning_status, updated_at FROM listener WHERE id = $2`,
      [lb.id, listener.id],
    );
    return rows.map((row: { provisioning_status: string; updated_at: Date | null }) => Object.values(row));
  };
  await db.transaction((tx) => settlement.pushed(tx, lb.id, 1));
  expect(await read()).toEqual([
    ['ACTIVE', null],
    ['ACTIVE', null],
  ]);
  await db.reader.query(`UPDATE listener SET provisioning_status = 'PENDING_UPDATE' WHERE id = $1`, [listener.id]);
  await db.transaction((tx) => settlement.failed(tx, lb.id, { reason: 'X', message: 'x' }));
  expect(await read()).toEqual([
    ['ERROR', null],
    ['ERROR', null],
  ]);
});
