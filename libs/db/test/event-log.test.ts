import { v7 as uuidv7 } from 'uuid';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { CursorTooOld, type Database, EventLog, type EventQuery, Purges, type Tx } from '../src/index.ts';
import type { TestDatabase } from '../src/testing/index.ts';
import { openTestDatabase } from './objects.ts';

let db: Database;
let test: TestDatabase;
beforeAll(async () => {
  ({ db, test } = await openTestDatabase());
});
afterAll(async () => {
  await db.stop();
  await test.drop();
});
beforeEach(async () => {
  await db.reader.query('TRUNCATE event');
  await db.reader.query(`UPDATE event_horizon SET xact = '0', id = 0`);
});

const log = new EventLog();
const day = 86_400_000;
const everything: EventQuery = {
  scope: null,
  loadBalancerId: null,
  hasAmphorae: true,
  after: '',
  before: '',
  isNewestFirst: false,
  limit: 100,
};
const page = (query: Partial<EventQuery> = {}) => log.page(db.reader, { ...everything, ...query });
const kinds = async (query: Partial<EventQuery> = {}) => (await page(query)).events.map(({ kind }) => kind);

async function insert(
  tx: Tx,
  kind: string,
  { project = 'p1', objectKind = 'listener', lb = uuidv7(), ageMs = 0 } = {},
) {
  await tx.query(
    `INSERT INTO event (load_balancer_id, project_id, author, request_id, kind, object_kind, object_id, payload, created_at)
     VALUES ($1, $2, 'u1', 'r1', $3, $4, $1, '{}', now() - $5 * interval '1 ms')`,
    [lb, project, kind, objectKind, ageMs],
  );
}

describe('the log of events', () => {
  it('holds back what an older transaction may still come before, and then misses nothing', async () => {
    await insert(db.reader, 'first');
    const beforeBoth = (await page()).endCursor;
    const slow = Promise.withResolvers<void>();
    const hasWritten = Promise.withResolvers<void>();
    const older = db.transaction(async (tx) => {
      await insert(tx, 'slow');
      hasWritten.resolve();
      await slow.promise;
    });
    await hasWritten.promise;
    await insert(db.reader, 'quick');
    expect(await kinds()).toEqual(['first']);
    const meanwhile = (await page({ after: beforeBoth })).endCursor;
    slow.resolve();
    await older;
    expect(await kinds({ after: meanwhile })).toEqual(['slow', 'quick']);
  });

  it('comes in pages, in both directions', async () => {
    for (const kind of ['a', 'b', 'c', 'd', 'e']) await insert(db.reader, kind);
    const first = await page({ limit: 2 });
    expect(first.events.map(({ kind }) => kind)).toEqual(['a', 'b']);
    expect(first.endCursor).toBe('');
    const second = await page({ limit: 3, after: first.nextCursor });
    expect(second.events.map(({ kind }) => kind)).toEqual(['c', 'd', 'e']);
    expect(second.nextCursor).toBe('');
    expect(await kinds({ after: second.endCursor })).toEqual([]);
    const newest = await page({ limit: 2, isNewestFirst: true });
    expect(newest.events.map(({ kind }) => kind)).toEqual(['e', 'd']);
    expect(await kinds({ before: newest.nextCursor, isNewestFirst: true })).toEqual(['c', 'b', 'a']);
    await insert(db.reader, 'f');
    expect(await kinds({ after: newest.endCursor })).toEqual(['f']);
  });

  it('shows one project, one load balancer, or all but amphorae', async () => {
    const lb = uuidv7();
    await insert(db.reader, 'mine', { lb });
    await insert(db.reader, 'amphora', { lb, objectKind: 'amphora' });
    await insert(db.reader, 'theirs', { project: 'p2' });
    expect(await kinds({ scope: 'p1' })).toEqual(['mine', 'amphora']);
    expect(await kinds({ loadBalancerId: lb, hasAmphorae: false })).toEqual(['mine']);
    expect(await kinds({ loadBalancerId: lb, scope: 'p2' })).toEqual([]);
  });

  it('tells a reader whose cursor is older than what was purged to list again', async () => {
    await insert(db.reader, 'kept', { ageMs: 1_000 });
    const old = (await page()).endCursor;
    await insert(db.reader, 'purged', { ageMs: 2 * day });
    const current = (await page()).endCursor;
    const keep = {
      amphoraMs: day,
      loadBalancerMs: day,
      flowMs: day,
      eventMs: day,
      idempotencyMs: day,
      statisticsMs: day,
    };
    await db.transaction((tx) => new Purges().purge(tx, 'event', keep, 100));
    await expect(page({ after: old })).rejects.toThrow(CursorTooOld);
    expect(await kinds({ after: current })).toEqual([]);
    expect(await kinds()).toEqual(['kept']);
  });

  it('refuses a cursor that is none of ours', async () => {
    for (const after of ['x', 'x'.repeat(1000), Buffer.from('1.2.3').toString('base64url')]) {
      await expect(page({ after })).rejects.toMatchObject({ kind: 'invalid', reason: 'INVALID_CURSOR' });
    }
    const huge = Buffer.from(`${2n ** 64n}.1`).toString('base64url');
    await expect(page({ before: huge })).rejects.toMatchObject({ reason: 'INVALID_CURSOR' });
  });
});
