import { AgentConfigs, Database } from '@octavia/db';
import { insertAmphora, insertLoadBalancer, type TestDatabase, testDatabase } from '@octavia/db/testing';
import { pino } from 'pino';
import { v7 as uuidv7 } from 'uuid';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Housekeeping } from '../src/housekeeping.ts';

const DAY_MS = 86_400_000;
const SPARES = {
  size: 3,
  maxDeploying: 10,
  computeDriver: 'noop',
  class: { computeFlavor: '', imageTag: '', zone: '', topology: 'SINGLE' as const },
};
const CONFIG = {
  // Every round is due: the tests say when there is one.
  intervalMs: 0,
  cleanupIntervalMs: 0,
  spares: SPARES,
  certificates: { intervalMs: 0, bufferMs: 14 * DAY_MS },
  // Due once: it would start a flow in every round.
  orphans: { intervalMs: DAY_MS, graceMs: 600_000 },
  flowDeadlineMs: 60_000,
  retention: {
    amphoraMs: DAY_MS,
    loadBalancerMs: DAY_MS,
    flowMs: DAY_MS,
    eventMs: DAY_MS,
    idempotencyMs: DAY_MS,
    statisticsMs: DAY_MS,
  },
};

let test: TestDatabase;
let dbs: Database[];
beforeEach(async () => {
  test = await testDatabase();
  dbs = [];
});
afterEach(async () => {
  for (const db of dbs) await db.stop();
  await test.drop();
});

const open = async () => {
  const db = new Database({ url: test.url, applicationName: 'housekeeping' });
  await db.start();
  dbs.push(db);
  return db;
};
const start = async (config: Partial<typeof CONFIG> = {}) => {
  const db = await open();
  return new Housekeeping({ db, log: pino({ level: 'silent' }), config: { ...CONFIG, ...config } });
};
const query = async (sql: string, values: unknown[] = []) => {
  const [db] = dbs;
  return (db ?? (await open())).reader.query(sql, values);
};
const statuses = async () =>
  (await query('SELECT status FROM amphora WHERE deleted_at IS NULL ORDER BY status')).map(
    (row: { status: string }) => row.status,
  );
const flows = async () =>
  (await query(`SELECT name FROM flow WHERE name <> 'orphans.sweep' ORDER BY name`)).map(
    (row: { name: string }) => row.name,
  );
/** The worker's part: what is booting becomes ready, or fails. */
const endBuilds = async (state: 'SUCCEEDED' | 'FAILED') => {
  await query(
    `UPDATE amphora SET status = CASE WHEN $1 = 'SUCCEEDED' THEN 'READY' ELSE 'DELETED' END,
    deleted_at = CASE WHEN $1 = 'FAILED' THEN now() END WHERE status = 'BOOTING'`,
    [state],
  );
  await query(
    `UPDATE flow SET state = $1, finished_at = clock_timestamp() WHERE state = 'QUEUED' AND name = 'amphora.create'`,
    [state],
  );
};

describe('the spare pool', () => {
  it('is filled by several instances without one amphora too many', async () => {
    const instances = await Promise.all([start(), start(), start()]);
    await Promise.all(Array.from({ length: 5 }, () => instances.map((one) => one.round())).flat());
    expect(await flows()).toEqual(Array(SPARES.size).fill('amphora.create'));
    expect(await statuses()).toEqual(Array(SPARES.size).fill('BOOTING'));
  });

  it('is refilled when a spare was taken', async () => {
    const housekeeping = await start();
    await housekeeping.round();
    await endBuilds('SUCCEEDED');
    await housekeeping.round();
    expect(await flows()).toHaveLength(3);
    await query(`UPDATE amphora SET status = 'ALLOCATED' WHERE id = (SELECT id FROM amphora LIMIT 1)`);
    await housekeeping.round();
    expect(await statuses()).toEqual(['ALLOCATED', 'BOOTING', 'READY', 'READY']);
  });

  it('waits after a failed build instead of building for ever', async () => {
    const housekeeping = await start();
    await housekeeping.round();
    await endBuilds('FAILED');
    await housekeeping.round();
    expect(await statuses()).toEqual([]);
    await query(`UPDATE flow SET finished_at = finished_at - interval '10 minutes'`);
    await housekeeping.round();
    expect(await statuses()).toEqual(['BOOTING']);
  });

  it('gives up what is too much, by flows', async () => {
    const housekeeping = await start();
    await housekeeping.round();
    await endBuilds('SUCCEEDED');
    const smaller = await start({ spares: { ...SPARES, size: 1 } });
    await smaller.round();
    expect(await statuses()).toEqual(['PENDING_DELETE', 'PENDING_DELETE', 'READY']);
    expect(await flows()).toEqual([...Array(3).fill('amphora.create'), ...Array(2).fill('amphora.delete')]);
  });

  it('is refilled at once when a notification says that a spare was taken', async () => {
    const housekeeping = await start({ intervalMs: 3_600_000 });
    for (const part of housekeeping.parts) await part.start();
    try {
      await vi.waitFor(async () => expect(await flows()).toHaveLength(3), { timeout: 10_000, interval: 20 });
      await endBuilds('SUCCEEDED');
      await query(`UPDATE amphora SET status = 'ALLOCATED' WHERE id = (SELECT id FROM amphora LIMIT 1)`);
      await query(`SELECT pg_notify('amphora', '')`);
      await vi.waitFor(async () => expect(await flows()).toHaveLength(4), { timeout: 10_000, interval: 20 });
    } finally {
      for (const part of housekeeping.parts.reverse()) await part.stop();
    }
  });
});

describe('a duty whose process died', () => {
  it('is done by another one when its lease ran out', async () => {
    await query(
      `INSERT INTO duty (name, owner, lease_expires_at, next_at)
       VALUES ('spare_pool', 'dead', now() + interval '1 h', now() + interval '1 h')`,
    );
    const housekeeping = await start();
    await housekeeping.round();
    expect(await flows()).toEqual([]);
    await query(`UPDATE duty SET lease_expires_at = now() - interval '1 s' WHERE name = 'spare_pool'`);
    await housekeeping.round();
    expect(await flows()).toHaveLength(3);
  });
});

describe('what nobody works on', () => {
  const quiet = { spares: { ...SPARES, size: 0 } };

  it('is set going again, once, however many instances look', async () => {
    const instances = await Promise.all([start(quiet), start(quiet), start(quiet)]);
    const [db] = dbs;
    if (!db) throw new Error('no database');
    for (const status of ['PENDING_CREATE', 'PENDING_UPDATE', 'PENDING_DELETE', 'ACTIVE', 'ERROR']) {
      await insertLoadBalancer(db.reader, { status });
    }
    await insertAmphora(db.reader, { status: 'PENDING_DELETE' });
    await Promise.all(Array.from({ length: 3 }, () => instances.map((one) => one.round())).flat());
    expect(await flows()).toEqual([
      'amphora.delete',
      'load_balancer.create',
      'load_balancer.delete',
      'load_balancer.update',
    ]);
  });

  it('is purged when it is old enough', async () => {
    const housekeeping = await start(quiet);
    const [db] = dbs;
    if (!db) throw new Error('no database');
    const old = await insertAmphora(db.reader, { status: 'DELETED' });
    const young = await insertAmphora(db.reader, { status: 'DELETED' });
    await query(`UPDATE amphora SET deleted_at = now() - interval '2 days' WHERE id = $1`, [old]);
    await housekeeping.round();
    expect(await query('SELECT id FROM amphora')).toEqual([{ id: young }]);
  });

  it('does not keep the other duties from being done when one fails', async () => {
    const housekeeping = await start();
    await query('ALTER TABLE event RENAME TO away');
    await housekeeping.round();
    await housekeeping.round();
    expect(await flows()).toHaveLength(3);
    const [duty] = await query(`SELECT last_error FROM duty WHERE name = 'purge'`);
    expect(duty.last_error).toMatch(/event/);
  });
});

describe('certificates of agents', () => {
  const allocated = async (id: string, expires: string) => {
    const { reader } = await open();
    const loadBalancerId = await insertLoadBalancer(reader);
    await insertAmphora(reader, { id, status: 'ALLOCATED', loadBalancerId });
    await query(`UPDATE amphora SET cert_expires_at = now() + $2::interval WHERE id = $1`, [id, expires]);
    return loadBalancerId;
  };

  it('are replaced in time, by one flow each', async () => {
    const housekeeping = await start({ spares: { ...SPARES, size: 0 } });
    const [soon, later] = [uuidv7(), uuidv7()];
    const loadBalancerId = await allocated(soon, '13 days');
    await allocated(later, '15 days');
    await housekeeping.round();
    await housekeeping.round();
    const rotations = await query(`SELECT turn_key, amphora_id FROM flow WHERE name = 'amphora.rotate_certificate'`);
    expect(rotations).toEqual([{ turn_key: loadBalancerId, amphora_id: soon }]);
  });

  it('that ran out are renewed as well: agents enrol again, all of them in one round', async () => {
    const housekeeping = await start({ spares: { ...SPARES, size: 0 } });
    const { reader } = await open();
    const ids = Array.from({ length: 25 }, () => uuidv7());
    for (const id of ids) await insertAmphora(reader, { id, status: 'READY' });
    await query(`UPDATE amphora SET cert_expires_at = now() - interval '1 s'`);
    // By itself: with a pool of no spares the other duties would delete them.
    for (const duty of housekeeping.duties) {
      if (duty.name === 'certificates') await duty.work({ name: duty.name, owner: 'test' });
    }
    const started = await query(`SELECT amphora_id FROM flow WHERE name = 'amphora.rotate_certificate'`);
    expect(started.map((flow: { amphora_id: string }) => flow.amphora_id).sort()).toEqual(ids.sort());
  });
});

describe('orphans', () => {
  it('are looked for by one flow at a time', async () => {
    const housekeeping = await start({ orphans: { intervalMs: 0, graceMs: 5_000 } });
    await housekeeping.round();
    await housekeeping.round();
    expect(await query(`SELECT input FROM flow WHERE name = 'orphans.sweep'`)).toEqual([{ input: { graceMs: 5_000 } }]);
  });
});

describe('the settings of agents', () => {
  it('are told anew to living amphorae that were told something else, once, and to no other', async () => {
    const housekeeping = await start({ spares: { ...SPARES, size: 0 } });
    const settings = new AgentConfigs();
    const [db] = dbs;
    if (!db) throw new Error('There is no database.');
    const tx = db.reader;
    const amphora = async (status: string, told: string | null) => {
      const id = await insertAmphora(tx, { status, loadBalancerId: await insertLoadBalancer(tx) });
      if (told) await settings.note(tx, id, told);
      return id;
    };
    const [old, unknown] = [await amphora('ALLOCATED', 'old'), await amphora('READY', null)];
    await amphora('ALLOCATED', 'new');
    await amphora('BOOTING', 'old');
    const configured = async () =>
      (await query(`SELECT amphora_id FROM flow WHERE name = 'amphora.configure' ORDER BY amphora_id`)).map(
        (row: { amphora_id: string }) => row.amphora_id,
      );
    await housekeeping.round();
    // No worker has said yet what they should be told.
    expect(await configured()).toEqual([]);
    await settings.want(tx, 'new');
    for (let i = 0; i < 3; i++) await housekeeping.round();
    expect(await configured()).toEqual([old, unknown].sort());
  });
});
