import type { QueryRunner } from 'typeorm';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { assertSchemaIsKnown } from '../src/core/migrate.ts';
import { Database, type Migration, migrate, migrations, schemaVersion } from '../src/index.ts';
import { floorOf } from '../src/migrations/index.ts';
import { type TestDatabase, testDatabase } from '../src/testing/index.ts';

const ours = migrations.at(-1)?.name ?? '';

/** The next release: it adds a column and a table, which the release before does not know. */
class Wider2000000000001 {
  static readonly needs = ours;
  name = 'Wider2000000000001';
  up = async (db: QueryRunner) => {
    await db.query(
      `ALTER TABLE duty ADD COLUMN hurried_at timestamptz; CREATE TABLE of_the_next_release (id uuid PRIMARY KEY)`,
    );
  };
  down = async () => {};
}

/** The release after it: it takes a column away, which programs that know the migration before do not use any more. */
class Narrower2000000000002 {
  static readonly needs = 'Wider2000000000001';
  name = 'Narrower2000000000002';
  up = async (db: QueryRunner) => {
    await db.query('ALTER TABLE duty DROP COLUMN last_error');
  };
  down = async () => {};
}

const next: readonly Migration[] = [...migrations, Wider2000000000001];
const afterNext: readonly Migration[] = [...next, Narrower2000000000002];

let test: TestDatabase;
beforeEach(async () => {
  test = await testDatabase();
});
afterEach(() => test.drop());

/** A service of this release starts and looks. */
async function start(): Promise<string> {
  const db = new Database({ url: test.url, applicationName: 'test' });
  try {
    await db.start();
    return await schemaVersion(db.reader);
  } finally {
    await db.stop();
  }
}

describe('the schema of another release', () => {
  it('that only adds something is used by the release before, which leaves it as it is', async () => {
    expect(await migrate(test.url, next)).toEqual(['Wider2000000000001']);
    expect(await start()).toBe('Wider2000000000001');
    expect(await migrate(test.url)).toEqual([]);
    expect(await start()).toBe('Wider2000000000001');
  });

  it('that took something away is refused by those who may still use that, and by no other', async () => {
    await migrate(test.url, afterNext);
    await expect(start()).rejects.toThrow(/newer release .* Programs must know Wider2000000000001/);
    await expect(migrate(test.url)).rejects.toThrow(/Nothing was changed/);
    const db = new Database({ url: test.url, applicationName: 'test' });
    // What the release between the two asks at its start.
    expect(await assertSchemaIsKnown(db.reader, { ours: next })).toEqual({ isThere: true, isNewer: true });
    await db.stop();
  });

  it('is refused where it lacks something, until it was migrated', async () => {
    const db = new Database({ url: test.url, applicationName: 'test' });
    const check = () => assertSchemaIsKnown(db.reader, { ours: next });
    await expect(check()).rejects.toThrow(/older than this program: Wider2000000000001 not applied/);
    await migrate(test.url, next);
    expect(await check()).toEqual({ isThere: true, isNewer: false });
    await db.stop();
  });

  it('is never called usable for older programs again by one of them', async () => {
    await migrate(test.url, afterNext);
    await expect(migrate(test.url)).rejects.toThrow();
    expect(await migrate(test.url, next)).toEqual([]);
    await expect(start()).rejects.toThrow(/newer release/);
  });
});

describe('what a program must know', () => {
  it('is the most that any migration asks for; one that does not say asks for itself', () => {
    expect(floorOf(migrations)).toBe('Initial1795132800000');
    expect(floorOf(next)).toBe(ours);
    expect(floorOf(afterNext)).toBe('Wider2000000000001');
    class Silent2000000000003 {
      name = 'Silent2000000000003';
      up = async () => {};
      down = async () => {};
    }
    expect(floorOf([...afterNext, Silent2000000000003])).toBe('Silent2000000000003');
  });
});
