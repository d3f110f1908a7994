import type { ClientBase, Pool, QueryResult } from 'pg';

/** What runs statements: the connection of a transaction, or the pool for what needs none. */
export type Connection = Pick<ClientBase | Pool, 'query'>;

export interface Statement {
  readonly sql: string;
  readonly values: readonly unknown[];
}

/** Most texts that are prepared. Ours are constants, a few hundred; whoever builds texts without end gets the rest unprepared. */
const MAX_PREPARED = 1_000;
/** SQLSTATE: a column was added to what a prepared `SELECT *` returns. Prepared again under another name it is as good as new. */
export const RESULT_TYPE_CHANGED = '0A000';

const names = new Map<string, string>();
let count = 0;

/**
 * Runs a statement. One with values is prepared under a name, so that each connection parses it once, and plans it a few times
 * (a create's statements took PostgreSQL 9 ms to plan and 26 ms in all). One without may hold several statements.
 * @returns rows; of an UPDATE or DELETE `[rows, count]`, as TypeORM gives them
 */
// biome-ignore lint/suspicious/noExplicitAny: the statement decides what comes.
export async function run(connection: Connection, sql: string, values?: readonly unknown[]): Promise<any> {
  if (!values) return shapeOf(await connection.query(sql));
  const name = nameOf(sql);
  try {
    return shapeOf(await connection.query({ ...(name ? { name } : {}), text: sql, values: [...values] }));
  } catch (error) {
    if ((error as { code?: string }).code === RESULT_TYPE_CHANGED) names.delete(sql);
    throw error;
  }
}

function nameOf(sql: string): string | undefined {
  const known = names.get(sql);
  if (known !== undefined || names.size >= MAX_PREPARED) return known;
  const name = `s${++count}`;
  names.set(sql, name);
  return name;
}

function shapeOf({ command, rows, rowCount }: QueryResult): unknown {
  return command === 'UPDATE' || command === 'DELETE' ? [rows, rowCount] : rows;
}
