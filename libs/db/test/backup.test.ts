import { randomUUID } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import type { NewFlow } from '@octavia/domain';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { checkBackupFile, readBackupFile, writeBackupFile } from '../src/backup/backup-file.ts';
import { backUp, CursorTooOld, Database, EventLog, Events, FlowQueue, Flows, restore } from '../src/index.ts';
import { migrations } from '../src/migrations/index.ts';
import {
  insertAmphora,
  insertListener,
  insertLoadBalancer,
  type TestDatabase,
  testDatabase,
} from '../src/testing/index.ts';

const INSTALLATION = randomUUID();
const TURN = randomUUID();

let folder: string;
let file: string;
let test: TestDatabase;
let db: Database;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'octavia-backup-'));
  file = join(folder, 'backup');
  test = await testDatabase();
  db = await open('test');
  await db.reader.query('INSERT INTO installation (id) VALUES ($1)', [INSTALLATION]);
});
afterEach(async () => {
  await db.stop();
  await test.drop();
  await rm(folder, { recursive: true });
});

async function open(applicationName: string): Promise<Database> {
  const opened = new Database({ url: test.url, applicationName, poolSize: 2 });
  await opened.start();
  return opened;
}

const flow = (name: string, loadBalancerId: string | null): NewFlow => ({
  name,
  version: 1,
  priority: 0,
  turnKey: loadBalancerId ?? TURN,
  loadBalancerId,
  amphoraId: null,
  projectId: 'p1',
  author: 'test',
  requestId: 'r1',
  input: {},
  deadlineMs: 60_000,
  stopsOthers: false,
});
const options = {
  installationId: INSTALLATION,
  sweep: flow('orphans.sweep', null),
  push: ({ id }: { id: string }) => flow('load_balancer.update', id),
};
const rowsOf = (table: string, columns = '*') =>
  db.reader.query(`SELECT to_jsonb(t) AS row FROM (SELECT ${columns} FROM ${table}) AS t ORDER BY 1`);

/** Something in every kind of column: arrays, jsonb, inet, bytea, generated and identity columns, times to the microsecond. */
async function fill(): Promise<string> {
  const id = await insertLoadBalancer(db.reader);
  await db.reader.query(
    `UPDATE load_balancer SET vip_address = '127.1.2.3', tags = '{"a, b","\\"ü\\n"}', name = 'wéb "1" \\ x' WHERE id = $1`,
    [id],
  );
  await insertListener(db.reader, id);
  await insertAmphora(db.reader, { loadBalancerId: id });
  await db.reader.query(
    `INSERT INTO secret (id, kind, owner_id, key_id, wrapped_key, payload) VALUES ($1, 'k', $1, 'key-1', '\\x00ff', '\\xdeadbeef')`,
    [id],
  );
  await db.transaction((tx) =>
    new Events().append(tx, {
      loadBalancerId: id,
      projectId: 'p1',
      author: 'u1',
      requestId: 'r1',
      kind: 'test',
      objectKind: 'load_balancer',
      objectId: id,
      payload: { number: 1.5, text: 'a\nb', nothing: null },
      traceparent: '',
    }),
  );
  return id;
}
const TABLES = ['load_balancer', 'listener', 'amphora', 'secret', 'installation', 'revision', 'quota', 'vip_address'];

describe('a backup', () => {
  it('holds everything, and gives it back as it was', async () => {
    await fill();
    const before = await Promise.all(TABLES.map((table) => rowsOf(table)));
    const events = await rowsOf('event', 'id, number, payload, created_at');
    expect(await backUp(test.url, file)).toMatchObject({ installationId: INSTALLATION });
    await db.reader.query('DELETE FROM listener');
    await db.reader.query(`UPDATE load_balancer SET name = 'another'`);
    await insertLoadBalancer(db.reader);
    await restore(test.url, file, options);
    expect(await Promise.all(TABLES.map((table) => rowsOf(table)))).toEqual(before);
    expect(await rowsOf('event', 'id, number, payload, created_at')).toEqual(events);
  });

  it('is written as of one moment, whole or not at all, for its owner only', async () => {
    await fill();
    await backUp(test.url, file);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect(await readdir(folder)).toEqual(['backup']);
    await expect(backUp(test.url, join(folder, 'no', 'such', 'folder'))).rejects.toThrow('ENOENT');
  });

  it('of an older release is brought up to date, with what its migrations do to the rows', async () => {
    await fill();
    await backUp(test.url, file);
    // As the first release would have written it: without what came later.
    const schema = [migrations[0]?.name ?? ''];
    const { tables } = await checkBackupFile(file);
    const older = { installationId: INSTALLATION, createdAt: '', schema };
    const isOlder = (name: string) => name !== 'event_horizon';
    async function* entries() {
      let table = '';
      for await (const entry of readBackupFile(file)) {
        if ('table' in entry) table = entry.table;
        if (isOlder(table)) yield entry;
      }
    }
    const other = join(folder, 'older');
    await writeBackupFile(other, { ...older, tables: tables.filter(({ name }) => isOlder(name)) }, entries());
    const before = await rowsOf('load_balancer');
    await restore(test.url, other, options);
    expect(await rowsOf('load_balancer')).toEqual(before);
    const applied = await db.reader.query('SELECT name FROM migration ORDER BY id');
    expect(applied).toEqual(migrations.map(({ name }) => ({ name })));
    expect(await rowsOf('event_horizon', 'id')).toHaveLength(1);
  });

  it('makes cursors of watchers too old, so that they list again, and those of a new listing good', async () => {
    await fill();
    await fill();
    const log = new EventLog();
    const query = { after: '', before: '', loadBalancerId: null, scope: null, hasAmphorae: true, isNewestFirst: false };
    const watching = await log.end(db.reader);
    await backUp(test.url, file);
    await restore(test.url, file, options);
    await expect(log.page(db.reader, { ...query, after: watching, limit: 10 })).rejects.toThrow(CursorTooOld);
    const first = await log.page(db.reader, { ...query, limit: 1 });
    const second = await log.page(db.reader, { ...query, after: first.nextCursor, limit: 1 });
    expect([...first.events, ...second.events].map(({ kind }) => kind)).toEqual(['test', 'test']);
  });

  it('leaves numbers that were given to those that have them', async () => {
    const id = await fill();
    await backUp(test.url, file);
    await restore(test.url, file, options);
    const append = `INSERT INTO event (project_id, author, request_id, kind, object_kind, object_id, payload)
      VALUES ('p', 'a', 'r', 'k', 'k', $1, '{}') RETURNING id`;
    const [{ id: given }] = await db.reader.query(append, [id]);
    const [{ last }] = await db.reader.query('SELECT max(id) AS last FROM event WHERE id <> $1', [given]);
    expect(Number(given)).toBeGreaterThan(Number(last));
  });
});

describe('after a restore', () => {
  it('orphans are swept first, and every living load balancer is pushed', async () => {
    const id = await fill();
    await insertLoadBalancer(db.reader, { status: 'PENDING_DELETE' });
    await backUp(test.url, file);
    await restore(test.url, file, options);
    const queued = await db.reader.query('SELECT name, load_balancer_id FROM flow ORDER BY id');
    expect(queued).toEqual([
      { name: 'orphans.sweep', load_balancer_id: null },
      { name: 'load_balancer.update', load_balancer_id: id },
    ]);
  });

  it('spares are forgotten, and so swept: they may serve a load balancer since', async () => {
    const id = await fill();
    const booting = await insertAmphora(db.reader, { status: 'BOOTING' });
    await insertAmphora(db.reader, { status: 'READY' });
    await insertAmphora(db.reader, { status: 'BOOTING', loadBalancerId: id });
    const build = { ...flow('amphora.create', null), turnKey: booting, amphoraId: booting };
    await db.transaction((tx) => new Flows().start(tx, build));
    const known = [{ name: 'amphora.create', version: 1 }];
    await new FlowQueue().claim(db.reader, { worker: 'w', leaseMs: 60_000, known, onlyUrgent: false });
    await backUp(test.url, file);
    await restore(test.url, file, options);
    const left = await db.reader.query(
      'SELECT a.status, s.load_balancer_id FROM amphora AS a LEFT JOIN seat AS s ON s.amphora_id = a.id ORDER BY a.status',
    );
    expect(left).toEqual([
      { status: 'ALLOCATED', load_balancer_id: id },
      { status: 'BOOTING', load_balancer_id: id },
    ]);
    expect(await db.reader.query(`SELECT state FROM flow WHERE name = 'amphora.create'`)).toEqual([
      { state: 'CANCELLED' },
    ]);
    expect(await db.reader.query('SELECT 1 FROM turn WHERE holder IS NOT NULL')).toEqual([]);
  });

  it('open flows go on with an epoch that nobody has seen, also when the same backup is restored again', async () => {
    const id = await fill();
    const queue = new FlowQueue();
    const known = [{ name: 'load_balancer.update', version: 1 }];
    const claim = () => queue.claim(db.reader, { worker: 'w', leaseMs: 60_000, known, onlyUrgent: false });
    await db.transaction((tx) => new Flows().start(tx, flow('load_balancer.update', id)));
    const first = await claim();
    expect(first?.lease.epoch).toBe(1);
    await backUp(test.url, file);
    let seen = 1_000;
    for (let round = 0; round < 2; round++) {
      await restore(test.url, file, options);
      const next = await claim();
      expect(next?.flow.id).toBe(first?.flow.id);
      expect(next?.lease.epoch).toBeGreaterThanOrEqual(seen);
      seen = next?.lease.epoch ?? 0;
    }
  });
});

describe('a restore changes nothing', () => {
  /** What is there, and stays. */
  async function unchanged(work: () => Promise<unknown>, message: RegExp): Promise<void> {
    const before = await rowsOf('load_balancer');
    await expect(work()).rejects.toThrow(message);
    expect(await rowsOf('load_balancer')).toEqual(before);
    expect(await db.reader.query(`SELECT 1 FROM pg_namespace WHERE nspname = 'octavia_restore'`)).toEqual([]);
  }

  it('when the file is damaged, cut short, empty, something else or not there', async () => {
    await fill();
    await backUp(test.url, file);
    const whole = await readFile(file);
    await truncate(file, whole.length - 20);
    await unchanged(() => restore(test.url, file, options), /cut short/);
    await writeFile(file, gunzipSync(whole));
    await unchanged(() => restore(test.url, file, options), /is no backup/);
    await writeFile(file, '');
    await unchanged(() => restore(test.url, file, options), /no backup/);
    await unchanged(() => restore(test.url, join(folder, 'missing'), options), /cannot be read/);
  });

  it('when one of its rows does not fit', async () => {
    await fill();
    const schema = migrations.map(({ name }) => name);
    const tables = [{ name: 'duty', columns: ['name', 'next_at'] }];
    async function* entries() {
      yield { table: 'duty' };
      yield { row: '{"name":"x","next_at":"not a time"}' };
    }
    await writeBackupFile(file, { installationId: INSTALLATION, createdAt: '', schema, tables }, entries());
    await unchanged(() => restore(test.url, file, options), /invalid input syntax for type timestamp/);
  });

  it('when it is of another installation', async () => {
    await fill();
    await backUp(test.url, file);
    await unchanged(
      () => restore(test.url, file, { ...options, installationId: randomUUID() }),
      /is of installation .* Put installation.json/,
    );
  });

  it('when a newer release made it', async () => {
    await fill();
    await db.reader.query(`INSERT INTO migration (timestamp, name) VALUES (1, 'FromTheFuture1')`);
    await backUp(test.url, file);
    await unchanged(() => restore(test.url, file, options), /does not know \(FromTheFuture1\)/);
  });

  it('while services use the database', async () => {
    await fill();
    await backUp(test.url, file);
    const worker = await open('octavia worker');
    try {
      await unchanged(() => restore(test.url, file, options), /Services still use this database \(octavia worker/);
    } finally {
      await worker.stop();
    }
  });
});
