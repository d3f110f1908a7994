import { migrations } from '../migrations/index.ts';
import type { Tx } from './database.ts';

/** Key of the advisory lock that lets one process migrate at a time; any constant of ours. */
const MIGRATION_LOCK = 7_203_114;
/** A migration that cannot get its table lock gives way instead of making every query queue behind it, ms. */
const LOCK_TIMEOUT_MS = 5_000;

/** Brings the schema of the database at `url` up to date. Safe to run in several processes at once. Returns what it applied. */
export async function migrate(url: string): Promise<string[]> {
  // Loaded here, because services only check the schema: TypeORM takes 25 MiB and 100 ms.
  const { DataSource } = await import('typeorm');
  const source = new DataSource({
    type: 'postgres',
    url,
    applicationName: 'octavia migrate',
    poolSize: 2,
    migrations,
    migrationsTableName: 'migration',
    migrationsTransactionMode: 'each',
    extra: { options: `-c lock_timeout=${LOCK_TIMEOUT_MS}` },
  });
  await source.initialize();
  const lock = source.createQueryRunner();
  try {
    await lock.query('SET lock_timeout = 0');
    await lock.query('SELECT pg_advisory_lock($1)', [MIGRATION_LOCK]);
    await assertSchemaIsKnown(source, { mayBeMissing: true });
    return (await source.runMigrations()).map((migration) => migration.name);
  } finally {
    await lock.query('SELECT pg_advisory_unlock($1)', [MIGRATION_LOCK]).catch(() => {});
    await lock.release();
    await source.destroy();
  }
}

/**
 * Refuses a schema that a newer release made: the rows may mean something else by now.
 * @throws Error that says what to do
 */
export async function assertSchemaIsKnown(
  source: Tx,
  { mayBeMissing = false }: { mayBeMissing?: boolean } = {},
): Promise<void> {
  const [table] = await source.query(`SELECT to_regclass('migration') IS NOT NULL AS present`);
  if (!table.present) {
    if (mayBeMissing) return;
    throw new Error('The database has no schema yet. Run the migrations first (npm start does).');
  }
  const rows: { name: string }[] = await source.query('SELECT name FROM migration ORDER BY id');
  const ours = new Set(migrations.map((migration) => migration.name));
  const unknown = rows.map((row) => row.name).filter((name) => !ours.has(name));
  if (unknown.length > 0) {
    throw new Error(
      `The database was migrated by a newer release (${unknown.join(', ')}). Nothing was changed. Start that release, or restore a backup.`,
    );
  }
  const missing = migrations
    .map((migration) => migration.name)
    .filter((name) => !rows.some((row) => row.name === name));
  if (missing.length > 0 && !mayBeMissing) {
    throw new Error(
      `The schema is older than this program: ${missing.join(', ')} not applied. Run the migrations first.`,
    );
  }
}

/** Name of the newest migration that is applied. */
export async function schemaVersion(tx: Tx): Promise<string> {
  const [row] = await tx.query('SELECT name FROM migration ORDER BY id DESC LIMIT 1');
  return row?.name ?? 'none';
}
