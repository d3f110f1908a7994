import { OBJECT_KINDS, type ObjectKind, QuotaExceeded } from '@octavia/domain';
import type { Tx } from '../core/database.ts';

/** No limit. */
export const UNLIMITED = -1;

/** How much of everything a project has, and may have. The counters change in the transactions that change the rows. */
export class Quotas {
  /**
   * Takes `count` of a resource. Locks the project's row until the transaction ends, so call it after all other locks.
   * @param defaultLimit of a project without a limit of its own; -1: none
   * @throws QuotaExceeded
   */
  async reserve(tx: Tx, projectId: string, resource: ObjectKind, count: number, defaultLimit: number): Promise<void> {
    // The row of a project is made with its first object; `max` of an existing row counts more than the default.
    const taken = await tx.query(
      `INSERT INTO quota (project_id, resource, in_use)
       SELECT $1, $2, $3::integer
       WHERE $4::integer = ${UNLIMITED} OR $3 <= $4 OR EXISTS (SELECT 1 FROM quota WHERE project_id = $1 AND resource = $2)
       ON CONFLICT (project_id, resource) DO UPDATE SET in_use = quota.in_use + excluded.in_use
       WHERE coalesce(quota.max, $4) = ${UNLIMITED} OR quota.in_use + excluded.in_use <= coalesce(quota.max, $4)
       RETURNING in_use`,
      [projectId, resource, count, defaultLimit],
    );
    if (taken.length > 0) return;
    const [row] = await tx.query('SELECT max FROM quota WHERE project_id = $1 AND resource = $2', [
      projectId,
      resource,
    ]);
    throw new QuotaExceeded(projectId, resource, row?.max ?? defaultLimit);
  }

  /** Gives back what rows that are gone had taken. Never goes below zero. */
  async release(tx: Tx, projectId: string, counts: Readonly<Partial<Record<ObjectKind, number>>>): Promise<void> {
    // One order for all, so that two releases do not wait for each other.
    for (const resource of OBJECT_KINDS) {
      const count = counts[resource] ?? 0;
      if (count === 0) continue;
      await tx.query('UPDATE quota SET in_use = greatest(in_use - $3, 0) WHERE project_id = $1 AND resource = $2', [
        projectId,
        resource,
        count,
      ]);
    }
  }
}
