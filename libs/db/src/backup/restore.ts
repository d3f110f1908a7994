import type { NewFlow } from '@octavia/domain';
import type { DataSource } from 'typeorm';
import type { Tx } from '../core/database.ts';
import { setFloor } from '../core/migrate.ts';
import { Flows } from '../flow/index.ts';
import { migrations } from '../migrations/index.ts';
import { MIGRATION_TABLE } from './back-up.ts';
import { type BackupHeader, BackupUnusable, checkBackupFile, readBackupFile } from './backup-file.ts';

/** Everything is made here first, and takes the place of what is there in one transaction. */
const STAGING = 'octavia_restore';
/** Bytes of JSON that are inserted at once. */
const BATCH_BYTES = 512 * 1024;
/** Start of the count of seconds that epochs are raised to: 2025-01-01, so that they fit an integer until 2093. */
const EPOCH_START_S = 1_735_689_600;

export interface RestoreOptions {
  /** The backup has to be of this installation: its secrets, certificates and addresses are those of its data folder. */
  readonly installationId: string;
  /** Deletes what the restored database does not know. Queued before everything else. */
  readonly sweep: NewFlow;
  /** Makes the amphorae of a load balancer serve what the restored database says. */
  readonly push: (loadBalancer: { readonly id: string; readonly projectId: string }) => NewFlow;
}

/**
 * Replaces the database by a backup: all of it, or, whatever happens, nothing. One of an older release is brought up to date. Flows
 * that were open go on with an epoch above all that drivers and agents may have seen since. @throws BackupUnusable, Error
 */
export async function restore(url: string, path: string, options: RestoreOptions): Promise<BackupHeader> {
  const header = await checkBackupFile(path);
  const known = migrations.map(({ name }) => name);
  assertFits(path, header, known, options.installationId);
  const target = await prepare(url);
  try {
    await inStaging(url, known.slice(0, header.schema.length), async (source) => {
      await source.runMigrations();
      await source.transaction((tx) => load(tx, path, header));
    });
    await inStaging(url, known, async (source) => {
      await source.runMigrations();
      await source.transaction(async (tx) => {
        await setFloor(tx);
        await takeUp(tx, options);
        await replace(tx, target);
      });
    });
  } catch (error) {
    await inStaging(url, [], (source) => source.query(`DROP SCHEMA IF EXISTS ${STAGING} CASCADE`)).catch(() => {});
    throw error;
  }
  return header;
}

function assertFits(path: string, header: BackupHeader, known: readonly string[], installationId: string): void {
  const unknown = header.schema.filter((name, index) => known[index] !== name);
  if (unknown.length > 0) {
    throw new BackupUnusable(
      `${path} has a schema that this release does not know (${unknown.join(', ')}). Nothing was changed. ` +
        'Restore it with the release that made it, or a newer one.',
    );
  }
  if (header.installationId !== installationId) {
    throw new BackupUnusable(
      `${path} is of installation ${header.installationId}, the data folder is ${installationId}. Nothing was changed. ` +
        'Put installation.json, pki/ and secrets/ of that installation into the data folder first, or name its folder with OCTAVIA_HOME.',
    );
  }
}

/** Makes sure that nobody works with the database, and makes room for the staging. Returns the schema that our tables are in. */
async function prepare(url: string): Promise<string> {
  const source = await sourceOf(url, [], null);
  await source.initialize();
  try {
    const users: { name: string }[] = await source.query(
      `SELECT DISTINCT application_name AS name FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name LIKE 'octavia %'
          AND application_name NOT IN ('octavia restore', 'octavia backup')`,
    );
    if (users.length > 0) {
      throw new Error(
        `Services still use this database (${users.map(({ name }) => name).join(', ')}). Nothing was changed. Stop all of them first.`,
      );
    }
    const [{ schema }] = await source.query('SELECT current_schema() AS schema');
    await source.query(`DROP SCHEMA IF EXISTS ${STAGING} CASCADE`);
    await source.query(`CREATE SCHEMA ${STAGING}`);
    return schema;
  } finally {
    await source.destroy();
  }
}

async function inStaging<T>(
  url: string,
  names: readonly string[],
  work: (source: DataSource) => Promise<T>,
): Promise<T> {
  const source = await sourceOf(url, names, STAGING);
  await source.initialize();
  try {
    return await work(source);
  } finally {
    await source.destroy();
  }
}

async function sourceOf(url: string, names: readonly string[], schema: string | null): Promise<DataSource> {
  // As in migrate: no service needs it.
  const { DataSource } = await import('typeorm');
  return new DataSource({
    type: 'postgres',
    url,
    applicationName: 'octavia restore',
    poolSize: 2,
    migrations: migrations.filter(({ name }) => names.includes(name)),
    migrationsTableName: MIGRATION_TABLE,
    migrationsTransactionMode: 'each',
    ...(schema === null ? {} : { schema, extra: { options: `-c search_path=${schema}` } }),
  });
}

/** Fills the tables, which are as they were in the release that made the backup. */
async function load(tx: Tx, path: string, { tables }: BackupHeader): Promise<void> {
  const quoted = (name: string) => `"${name.replaceAll('"', '""')}"`;
  const columnsOf = new Map(tables.map(({ name, columns }) => [name, columns.map(quoted).join(', ')]));
  const places = await placeColumns(tx);
  await tx.query(`TRUNCATE ${tables.map(({ name }) => quoted(name)).join(', ')}`);
  let table = '';
  let batch: string[] = [];
  let bytes = 0;
  const flush = async (): Promise<void> => {
    if (batch.length === 0) return;
    const columns = columnsOf.get(table);
    const mine = places.filter((place) => place.table === table);
    await tx.query(
      `INSERT INTO ${quoted(table)} (${[columns, ...mine.map(({ name }) => quoted(name))]}) OVERRIDING SYSTEM VALUE
       SELECT ${[columns, ...mine.map(() => 'pg_current_xact_id()')]} FROM json_populate_recordset(NULL::${quoted(table)}, $1::json)`,
      [`[${batch.join(',')}]`],
    );
    batch = [];
    bytes = 0;
  };
  for await (const entry of readBackupFile(path)) {
    if ('table' in entry) {
      await flush();
      table = entry.table;
    } else {
      batch.push(entry.row);
      bytes += entry.row.length;
      if (bytes > BATCH_BYTES) await flush();
    }
  }
  await flush();
  await advanceSequences(tx);
}

/** Columns with places in the log of a server, which mean nothing on another: rows are of now, in the order of their ids. */
async function placeColumns(tx: Tx): Promise<{ readonly table: string; readonly name: string }[]> {
  return tx.query(
    `SELECT c.relname AS "table", a.attname AS name FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
      WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r' AND NOT a.attisdropped
        AND a.atttypid = 'xid8'::regtype`,
  );
}

/** Numbers that were given are not given again. */
async function advanceSequences(tx: Tx): Promise<void> {
  const identities: { name: string; column: string }[] = await tx.query(
    `SELECT c.relname AS name, a.attname AS column FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
      WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r' AND a.attidentity <> ''`,
  );
  for (const { name, column } of identities) {
    await tx.query(
      `SELECT setval(pg_get_serial_sequence($1, $2), greatest(1, (SELECT max("${column}") FROM "${name}")),
                     (SELECT count(*) > 0 FROM "${name}"))`,
      [`"${name}"`, column],
    );
  }
}

/** Brings the rows to what is true after a restore: nobody holds anything, and the world outside is of another time. */
async function takeUp(tx: Tx, { sweep, push }: RestoreOptions): Promise<void> {
  await tx.query(
    `UPDATE flow SET epoch = greatest(epoch, (extract(epoch FROM clock_timestamp()) - $1)::integer),
            lease_expires_at = CASE WHEN state = 'RUNNING' THEN clock_timestamp() - interval '1 s' END
      WHERE state IN ('QUEUED', 'RUNNING')`,
    [EPOCH_START_S],
  );
  await forgetSpares(tx);
  await tx.query('UPDATE duty SET owner = NULL, lease_expires_at = NULL, next_at = clock_timestamp()');
  // Cursors from before the restore are too old, those within the restored events are not.
  await tx.query(
    `UPDATE event_horizon SET id = 0,
            xact = coalesce((SELECT xact FROM event ORDER BY xact LIMIT 1), pg_current_xact_id())`,
  );
  await tx.query('UPDATE shard_owner SET owner = NULL, lease_expires_at = NULL');
  const flows = new Flows();
  await flows.start(tx, sweep);
  const living: { id: string; projectId: string }[] = await tx.query(
    `SELECT id, project_id AS "projectId" FROM load_balancer
      WHERE deleted_at IS NULL AND provisioning_status NOT IN ('PENDING_DELETE', 'DELETED') ORDER BY id`,
  );
  for (const loadBalancer of living) await flows.ensurePush(tx, push(loadBalancer));
}

/**
 * What was a spare may serve a load balancer since, and would be given to another. Without its row it is an orphan, and is isolated
 * before anything else happens; new ones are built.
 */
async function forgetSpares(tx: Tx): Promise<void> {
  const [flows]: [{ id: string }[], number] = await tx.query(
    `UPDATE flow SET state = 'CANCELLED', finished_at = clock_timestamp(), lease_owner = NULL, lease_expires_at = NULL
      WHERE name = 'amphora.create' AND state IN ('QUEUED', 'RUNNING') RETURNING id`,
  );
  const ids = flows.map(({ id }) => id);
  await tx.query('UPDATE turn SET holder = NULL, half_done = NULL WHERE holder = ANY ($1) OR half_done = ANY ($1)', [
    ids,
  ]);
  const [spares]: [{ id: string }[], number] = await tx.query(
    `DELETE FROM amphora WHERE seats_taken = 0 AND status IN ('BOOTING', 'READY') RETURNING id`,
  );
  await tx.query('DELETE FROM external_resource WHERE amphora_id = ANY ($1)', [spares.map(({ id }) => id)]);
}

async function replace(tx: Tx, target: string): Promise<void> {
  const tables: { name: string }[] = await tx.query(
    `SELECT quote_ident(tablename) AS name FROM pg_tables WHERE schemaname = $1`,
    [STAGING],
  );
  await tx.query(`DROP TABLE IF EXISTS ${tables.map(({ name }) => `"${target}".${name}`).join(', ')} CASCADE`);
  for (const { name } of tables) await tx.query(`ALTER TABLE ${STAGING}.${name} SET SCHEMA "${target}"`);
  await tx.query(`DROP SCHEMA ${STAGING} CASCADE`);
}
