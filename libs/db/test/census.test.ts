import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { amphoraCensus, Database } from '../src/index.ts';
import { type TestDatabase, testDatabase } from '../src/testing/index.ts';
import { insertAmphora } from '../src/testing/rows.ts';

describe('the census of amphorae', () => {
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

  it('counts who lives, and knows which certificate in use runs out first', async () => {
    expect(await amphoraCensus(db.reader)).toEqual({ byStatus: [], certificateSeconds: null });
    const ends = { READY: '2 days', ALLOCATED: '1 day', ERROR: '1 hour', DELETED: '1 minute' };
    for (const [status, left] of Object.entries(ends)) {
      const id = await insertAmphora(db.reader, { status });
      await db.reader.query('UPDATE amphora SET cert_expires_at = clock_timestamp() + $2::interval WHERE id = $1', [
        id,
        left,
      ]);
    }
    await insertAmphora(db.reader, { status: 'READY' });
    const { byStatus, certificateSeconds } = await amphoraCensus(db.reader);
    expect(Object.fromEntries(byStatus.map(({ status, count }) => [status, count]))).toEqual({
      READY: 2,
      ALLOCATED: 1,
      ERROR: 1,
    });
    expect(certificateSeconds).toBeCloseTo(86_400, -2);
  });
});
