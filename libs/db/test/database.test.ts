import { DataSource } from 'typeorm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Database, isDatabaseTrouble, migrate } from '../src/index.ts';
import { type TestDatabase, testDatabase } from '../src/testing/index.ts';

describe('the database of a process', () => {
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

  it('rolls everything back when the work throws', async () => {
    const work = db.transaction(async (tx) => {
      await tx.query(`INSERT INTO duty (name) VALUES ('never')`);
      throw new Error('changed my mind');
    });
    await expect(work).rejects.toThrow('changed my mind');
    expect(await db.reader.query(`SELECT name FROM duty WHERE name = 'never'`)).toEqual([]);
  });

  it('does not call a transaction committed when a statement of it failed, whatever became of the error', async () => {
    const work = db.transaction(async (tx) => {
      await tx.query(`INSERT INTO duty (name) VALUES ('lost')`);
      await tx.query('SELECT 1 / 0').catch(() => {});
    });
    await expect(work).rejects.toThrow('rolled back');
    expect(await db.reader.query(`SELECT name FROM duty WHERE name = 'lost'`)).toEqual([]);
  });

  it('commits nothing when the guard fails', async () => {
    const guard = { sql: 'SELECT 1 / $1::integer', values: [0] };
    const work = db.transaction((tx) => tx.query(`INSERT INTO duty (name) VALUES ('unguarded')`), { guard });
    await expect(work).rejects.toThrow('division by zero');
    expect(await db.reader.query(`SELECT name FROM duty WHERE name = 'unguarded'`)).toEqual([]);
    await db.transaction((tx) => tx.query(`INSERT INTO duty (name) VALUES ('guarded')`), {
      guard: { ...guard, values: [1] },
    });
    expect(await db.reader.query(`SELECT name FROM duty WHERE name = 'guarded'`)).toHaveLength(1);
  });

  it('gives up the locks of a transaction whose process was stopped in it', async () => {
    await db.reader.query(`INSERT INTO duty (name) VALUES ('stopped in')`);
    const stopped = new Database({ url: test.url, applicationName: 'stopped', idleInTransactionMs: 100 });
    await stopped.start();
    const isLocked = Promise.withResolvers<void>();
    const wakes = Promise.withResolvers<void>();
    const lock = `SELECT name FROM duty WHERE name = 'stopped in' FOR UPDATE`;
    const work = stopped.transaction(async (tx) => {
      await tx.query(lock);
      isLocked.resolve();
      await wakes.promise;
    });
    const failure = expect(work).rejects.toSatisfy(isDatabaseTrouble);
    await isLocked.promise;
    expect(await db.transaction((tx) => tx.query(lock))).toHaveLength(1);
    wakes.resolve();
    await failure;
    await stopped.stop();
  });

  it('runs statements in the order in which they were started, without waiting for each', async () => {
    const rows = await db.transaction(async (tx) => {
      const all = [tx.query('SELECT 1 AS n'), tx.query('SELECT $1::integer AS n', [2]), tx.query('SELECT 3 AS n', [])];
      return (await Promise.all(all)).flat();
    });
    expect(rows).toEqual([{ n: 1 }, { n: 2 }, { n: 3 }]);
  });

  it('goes on when a newer release adds a column to what it has prepared', async () => {
    await db.reader.query('CREATE TABLE widened (id integer); INSERT INTO widened VALUES (1)');
    const all = 'SELECT * FROM widened WHERE id = $1';
    const read = () => db.transaction((tx) => tx.query(all, [1]));
    await Promise.all([read(), read(), db.reader.query(all, [1])]);
    await db.reader.query('ALTER TABLE widened ADD COLUMN name text');
    const rows = [...(await Promise.all([read(), read()])), await db.reader.query(all, [1])].flat();
    expect(rows).toEqual(Array(3).fill({ id: 1, name: null }));
  });

  it('repeats a transaction that was broken off by a deadlock', async () => {
    await db.reader.query(`INSERT INTO duty (name) VALUES ('a'), ('b')`);
    const lockBoth = (first: string, second: string, ready: () => void, other: Promise<void>) =>
      db.transaction(async (tx) => {
        await tx.query('SELECT 1 FROM duty WHERE name = $1 FOR UPDATE', [first]);
        ready();
        await other;
        await tx.query('SELECT 1 FROM duty WHERE name = $1 FOR UPDATE', [second]);
        return first;
      });
    const left = Promise.withResolvers<void>();
    const right = Promise.withResolvers<void>();
    const both = Promise.all([
      lockBoth('a', 'b', left.resolve, right.promise),
      lockBoth('b', 'a', right.resolve, left.promise),
    ]);
    expect(await both).toEqual(['a', 'b']);
  });

  it('survives the loss of its connections, and tells listeners to look for themselves', async () => {
    const heard: (string | null)[] = [];
    const gotNull = Promise.withResolvers<void>();
    const gotWord = Promise.withResolvers<void>();
    await db.notifications.listen('a_channel', (payload) => {
      heard.push(payload);
      (payload === null ? gotNull : gotWord).resolve();
    });
    await test.cutConnections();
    await gotNull.promise;
    await db.reader.query(`SELECT pg_notify('a_channel', 'hello')`);
    await gotWord.promise;
    expect(heard).toEqual([null, 'hello']);
  });

  it('migrates once, whoever asks', async () => {
    expect(await Promise.all([migrate(test.url), migrate(test.url)])).toEqual([[], []]);
  });

  it('refuses a schema from which a newer release took something away', async () => {
    const source = await new DataSource({ type: 'postgres', url: test.url }).initialize();
    try {
      await source.query(`INSERT INTO migration (timestamp, name) VALUES (9999999999999, 'Future9999999999999')`);
      await source.query(`UPDATE schema_floor SET migration = 'Future9999999999999'`);
      const late = new Database({ url: test.url, applicationName: 'late' });
      await expect(late.start()).rejects.toThrow(/newer release \(Future9999999999999\)/);
      await late.stop();
      await expect(migrate(test.url)).rejects.toThrow(/newer release/);
    } finally {
      await source.query(`DELETE FROM migration WHERE name = 'Future9999999999999'`);
      await source.query(`UPDATE schema_floor SET migration = 'Initial1795132800000'`);
      await source.destroy();
    }
  });
});
