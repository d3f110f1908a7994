import { OrphanServiceClient } from '@octavia/proto';
import { rpcClient } from '@octavia/service';
import type pg from 'pg';
import type { Api } from '../../src/api.ts';

const caller = { projectId: 'storm', userId: 'storm', roles: ['admin'] };
const CALL_LIMIT_MS = 20_000;
/**
 * A flow sees its deadline when a worker looks at it: after the longest restart of a service or the database, the lease of the worker
 * that had it, and a call that is not waited for any longer. Milliseconds.
 */
const GRACE_MS = 20_000;

/** Dead amphorae that still serve or are spares, as far as rows say. */
export async function unheard(database: pg.Client, dead: ReadonlySet<string>): Promise<string[]> {
  const { rows } = await database.query<{ id: string; status: string; tries: string }>(
    `SELECT a.id, a.status, (SELECT string_agg(concat_ws(' ', f.created_at::time(0), name, state, step, last_error), ', ' ORDER BY f.id)
       FROM flow AS f WHERE f.amphora_id = a.id) AS tries
     FROM amphora AS a WHERE a.id = ANY ($1::uuid[]) AND a.deleted_at IS NULL`,
    [[...dead]],
  );
  return rows.map(({ id, status, tries }) => `Amphora ${id} is dead, and ${status}: ${tries ?? 'no flow'}.`);
}

/** What `octaviactl orphans list` shows. */
export async function orphans({ address, tls }: Api): Promise<string[]> {
  const client = rpcClient(OrphanServiceClient, address, tls);
  try {
    const { orphans: found } = await client.listOrphans(
      { olderThan: undefined },
      { caller, deadlineMs: CALL_LIMIT_MS },
    );
    return found.map(({ side, kind, name, message }) => `${side}: ${kind} ${name}. ${message}`);
  } catch (error) {
    return [`Orphans cannot be listed: ${error}`]; // Gateway or worker is being started again.
  } finally {
    client.close();
  }
}

/** Flows that ended long after their deadlines. */
export async function lateFlows(database: pg.Client): Promise<string[]> {
  const { rows } = await database.query<{ id: string; name: string; state: string; late: string }>(
    `SELECT id, name, state, round(extract(epoch FROM finished_at - deadline_at))::text AS late FROM flow
     WHERE finished_at > deadline_at + $1 * interval '1 ms' ORDER BY finished_at - deadline_at DESC LIMIT 10`,
    [GRACE_MS],
  );
  return rows.map(({ id, name, state, late }) => `Flow ${id} (${name}) is ${state}, ${late} s after its deadline.`);
}
