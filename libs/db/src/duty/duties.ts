import type { Tx } from '../core/database.ts';

/** A duty that this process has taken. `owner` names this one taking of it. */
export interface TakenDuty {
  readonly name: string;
  readonly owner: string;
}

/** Recurring duties: a row each, taken by one process at a time by a lease on the database's clock. */
export class Duties {
  /**
   * Takes a duty when it is due and nobody has it, or when the lease of whoever had it ran out. It is made when it is not there.
   * It is due again after `everyMs`, or sooner when somebody hurries it meanwhile. Returns whether it was taken.
   */
  async take(tx: Tx, duty: TakenDuty, leaseMs: number, everyMs: number): Promise<boolean> {
    await tx.query('INSERT INTO duty (name) VALUES ($1) ON CONFLICT (name) DO NOTHING', [duty.name]);
    const [rows] = await tx.query(
      `UPDATE duty SET owner = $2, lease_expires_at = clock_timestamp() + $3 * interval '1 ms',
              next_at = clock_timestamp() + $4 * interval '1 ms'
        WHERE name = $1 AND (owner IS NULL AND next_at <= clock_timestamp() OR lease_expires_at < clock_timestamp())
       RETURNING name`,
      [duty.name, duty.owner, leaseMs, everyMs],
    );
    return rows.length > 0;
  }

  /** Locks the duty for the rest of the transaction. False: another process has it now, so nothing may be done. */
  async hold(tx: Tx, duty: TakenDuty): Promise<boolean> {
    const rows = await tx.query('SELECT 1 FROM duty WHERE name = $1 AND owner = $2 FOR UPDATE', [
      duty.name,
      duty.owner,
    ]);
    return rows.length > 0;
  }

  /** Gives the duty back. Does nothing when another process has it. */
  async finish(tx: Tx, duty: TakenDuty, error: string | null): Promise<void> {
    await tx.query(
      `UPDATE duty SET owner = NULL, lease_expires_at = NULL, last_run_at = clock_timestamp(), last_error = $3
        WHERE name = $1 AND owner = $2`,
      [duty.name, duty.owner, error],
    );
  }

  /** Makes duties due now: something happened that concerns them. One that is being done comes again after that. */
  async hurry(tx: Tx, names: readonly string[]): Promise<void> {
    await tx.query(
      'UPDATE duty SET next_at = clock_timestamp() WHERE name = ANY ($1) AND next_at > clock_timestamp()',
      [names],
    );
  }
}
