import pg from 'pg';
import { type BackupEntry, writeBackupFile } from './backup-file.ts';

/** Rows that are fetched at once. */
const FETCH = 1000;
/** TypeORM's list of applied migrations: the header of a backup has it, and a restore makes it anew. */
export const MIGRATION_TABLE = 'migration';

interface Table {
  readonly name: string;
  readonly columns: readonly string[];
}

/**
 * Writes every row of the database into a file, as of one moment, while services go on. Works with any PostgreSQL, and needs none of
 * its programs. @param url a role that may read all tables @throws Error when there is no schema
 */
export async function backUp(
  url: string,
  path: string,
): Promise<{ readonly tables: number; readonly rows: number; readonly installationId: string }> {
  const client = new pg.Client({ connectionString: url, application_name: 'octavia backup' });
  client.on('error', () => {});
  await client.connect();
  try {
    await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
    const schema = await appliedMigrations(client);
    if (schema.length === 0)
      throw new Error('This database has no schema of the controller: there is nothing to back up.');
    const tables = await tablesInOrder(client);
    const { rows: installation } = await client.query('SELECT id FROM installation');
    const installationId: string = installation[0]?.id ?? '';
    const header = { installationId, createdAt: new Date().toISOString(), schema, tables };
    const rows = await writeBackupFile(path, header, entriesOf(client, tables));
    return { tables: tables.length, rows, installationId };
  } finally {
    await client.end();
  }
}

async function appliedMigrations(client: pg.Client): Promise<string[]> {
  const { rows } = await client.query(`SELECT to_regclass('${MIGRATION_TABLE}') IS NOT NULL AS present`);
  if (!rows[0].present) return [];
  const { rows: applied } = await client.query(`SELECT name FROM ${MIGRATION_TABLE} ORDER BY id`);
  return applied.map(({ name }) => name);
}

async function* entriesOf(client: pg.Client, tables: readonly Table[]): AsyncGenerator<BackupEntry> {
  for (const { name, columns } of tables) {
    yield { table: name };
    const list = columns.map((column) => client.escapeIdentifier(column)).join(', ');
    await client.query(
      `DECLARE every NO SCROLL CURSOR FOR SELECT row_to_json(r)::text AS row FROM (SELECT ${list} FROM ${client.escapeIdentifier(name)}) AS r`,
    );
    for (;;) {
      const { rows } = await client.query(`FETCH ${FETCH} FROM every`);
      for (const { row } of rows) yield { row };
      if (rows.length < FETCH) break;
    }
    await client.query('CLOSE every');
  }
}

/**
 * Our tables, those first that others refer to. Without columns that PostgreSQL computes, and without positions in the server's own
 * log (xid8), which mean nothing on another server: those get their default.
 */
async function tablesInOrder(client: pg.Client): Promise<Table[]> {
  const { rows } = await client.query<{ name: string; columns: string[]; needs: string[] }>(
    `SELECT c.relname AS name,
        (SELECT array_agg(a.attname::text ORDER BY a.attnum) FROM pg_attribute AS a
          WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
            AND a.atttypid <> 'xid8'::regtype) AS columns,
        (SELECT coalesce(array_agg(f.relname::text), '{}') FROM pg_constraint AS k JOIN pg_class AS f ON f.oid = k.confrelid
          WHERE k.conrelid = c.oid AND k.contype = 'f' AND f.oid <> c.oid) AS needs
       FROM pg_class AS c
      WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace AND c.relname <> '${MIGRATION_TABLE}'
      ORDER BY c.relname`,
  );
  const ordered: Table[] = [];
  const waiting = new Map(rows.map((row) => [row.name, row]));
  while (waiting.size > 0) {
    const ready = [...waiting.values()].filter(({ needs }) => !needs.some((need) => waiting.has(need)));
    if (ready.length === 0) throw new Error(`These tables refer to each other: ${[...waiting.keys()].join(', ')}.`);
    for (const { name, columns } of ready) {
      ordered.push({ name, columns });
      waiting.delete(name);
    }
  }
  return ordered;
}
