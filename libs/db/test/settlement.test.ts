import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Database, LoadBalancers, Revisions, Settlement, tables } from '../src/index.ts';
import type { TestDatabase } from '../src/testing/index.ts';
import { by, insertLoadBalancer, newListener, openTestDatabase } from './objects.ts';

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

it('waits for a change that is being made, and sees that more is desired then', async () => {
  const lb = await insertLoadBalancer(db, { provisioningStatus: 'PENDING_UPDATE' });
  const settling = await db.transaction(async (tx) => {
    const begun = await new LoadBalancers().begin(tx, 'update', lb.id, null);
    const ended = db.transaction((other) => settlement.pushed(other, lb.id, begun.desiredRevision - 1));
    await expect
      .poll(
        () =>
          db.reader.query(
            `SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
          ),
        { timeout: 5_000, interval: 5 },
      )
      .toHaveLength(1);
    const change = { objectKind: 'load_balancer', objectId: lb.id, action: 'UPDATE', changes: {} } as const;
    await new Revisions().append(tx, begun, change, by);
    return { ended };
  });
  expect(await settling.ended).toEqual({ isMoreDesired: true });
  const { provisioningStatus, desiredRevision } = await new LoadBalancers().get(db.reader, lb.id, null);
  expect({ provisioningStatus, desiredRevision }).toEqual({ provisioningStatus: 'PENDING_UPDATE', desiredRevision: 2 });
});
