import { floorOf, type Migration, migrations } from '../migrations/index.ts';
import type { Tx } from './database.ts';

/** Key of the advisory lock that lets one process migrate at a time; any constant of ours. */
const MIGRATION_LOCK = 7_203_114;
/** A migration that cannot get its table lock gives way instead of making every query queue behind it, ms. */
const LOCK_TIMEOUT_MS = 5_000;

/**
 * Brings the schema of the database at `url` up to date. Safe to run in several processes at once, and beside services of the release
 * before. A schema of a newer release that this one may use is left as it is. Returns what it applied. @param ours for tests of upgrades
 */
export async function migrate(url: string, ours: readonly Migration[] = migrations): Promise<string[]> {
  // Loaded here, because services only check the schema: TypeORM takes 25 MiB and 100 ms.
  const { DataSource } = await import('typeorm');
  const source = new DataSource({
    type: 'postgres',
    url,
    applicationName: 'octavia migrate',
    poolSize: 2,
    migrations: [...ours],
    migrationsTableName: 'migration',
    migrationsTransactionMode: 'each',
    extra: { options: `-c lock_timeout=${LOCK_TIMEOUT_MS}` },
  });
  await source.initialize();
  const lock = source.createQueryRunner();
  try {
    await lock.query('SET lock_timeout = 0');
    await lock.query('SELECT pg_advisory_lock($1)', [MIGRATION_LOCK]);
    const { isNewer, isThere } = await assertSchemaIsKnown(source, { mayBeMissing: true, ours });
    if (isNewer) return [];
    // Before anything is taken away, so that no older program starts in the middle of it.
    if (isThere) await setFloor(source, ours);
    const applied = await source.runMigrations();
    await setFloor(source, ours);
    return applied.map((migration) => migration.name);
  } finally {
    await lock.query('SELECT pg_advisory_unlock($1)', [MIGRATION_LOCK]).catch(() => {});
    await lock.release();
    await source.destroy();
  }
}

/** Notes what a program must know to run on the schema as it is after all of `ours`. */
export async function setFloor(tx: Tx, ours: readonly Migration[] = migrations): Promise<void> {
  await tx.query(
    `INSERT INTO schema_floor (migration) VALUES ($1) ON CONFLICT (only_row) DO UPDATE SET migration = excluded.migration`,
    [floorOf(ours)],
  );
}

interface SchemaCheck {
  /** Migrations that are not applied are no error. */
  readonly mayBeMissing?: boolean;
  readonly ours?: readonly Migration[];
}

/**
 * Refuses a schema that this program must not use: one that lacks something, or one from which a newer release took something away.
 * What a newer release only added does no harm. @returns whether there is a schema, and whether it is of a newer release
 * @throws Error that says what to do
 */
export async function assertSchemaIsKnown(
  source: Tx,
  { mayBeMissing = false, ours = migrations }: SchemaCheck = {},
): Promise<{ readonly isThere: boolean; readonly isNewer: boolean }> {
  const [table] = await source.query(`SELECT to_regclass('migration') IS NOT NULL AS present`);
  if (!table.present) {
    if (mayBeMissing) return { isThere: false, isNewer: false };
    throw new Error('The database has no schema yet. Run the migrations first (npm start does).');
  }
  const rows: { name: string }[] = await source.query('SELECT name FROM migration ORDER BY id');
  const applied = rows.map((row) => row.name);
  const known = ours.map((migration) => migration.name);
  const unknown = applied.filter((name) => !known.includes(name));
  if (unknown.length > 0) await assertUsable(source, known, unknown);
  const missing = known.filter((name) => !applied.includes(name));
  if (missing.length > 0 && (!mayBeMissing || unknown.length > 0)) {
    throw new Error(
      `The schema is older than this program: ${missing.join(', ')} not applied. Run the migrations first.`,
    );
  }
  return { isThere: applied.length > 0, isNewer: unknown.length > 0 };
}

async function assertUsable(source: Tx, known: readonly string[], unknown: readonly string[]): Promise<void> {
  const [floor]: { migration: string }[] = await source.query('SELECT migration FROM schema_floor');
  if (floor && known.includes(floor.migration)) return;
  throw new Error(
    `The database was migrated by a newer release (${unknown.join(', ')}). Nothing was changed. Start that release, or restore a ` +
      `backup.${floor ? ` Programs must know ${floor.migration}: this one is too old for it.` : ''}`,
  );
}

/** Name of the newest migration that is applied. */
export async function schemaVersion(tx: Tx): Promise<string> {
  const [row] = await tx.query('SELECT name FROM migration ORDER BY id DESC LIMIT 1');
  return row?.name ?? 'none';
}
