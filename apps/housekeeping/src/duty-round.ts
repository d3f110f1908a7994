import { randomUUID } from 'node:crypto';
import type { Database, Duties, TakenDuty } from '@octavia/db';
import { faultOf } from '@octavia/domain';
import type { Logger } from '@octavia/service';

/** Something that has to be done again and again, by one process at a time. */
export interface Duty {
  readonly name: string;
  readonly everyMs: number;
  /** Does it. `taken` proves, inside a transaction, that it is still ours. */
  readonly work: (taken: TakenDuty) => Promise<void>;
}

/** Silence after which another process may take a duty over, ms: rounds are short, each transaction of them shorter. */
export const DUTY_LEASE_MS = 30_000;

export interface DutyRoundParts {
  readonly db: Database;
  readonly duties: Duties;
  readonly log: Logger;
}

/** Takes each duty that is due, does it and gives it back. */
export class DutyRound {
  readonly #parts: DutyRoundParts;
  readonly #process = randomUUID();
  #count = 0;

  constructor(parts: DutyRoundParts) {
    this.#parts = parts;
  }

  /** Returns whether the duty was due and nobody else had it. */
  async run(duty: Duty): Promise<boolean> {
    const { db, duties, log } = this.#parts;
    this.#count += 1;
    const taken: TakenDuty = { name: duty.name, owner: `${this.#process}:${this.#count}` };
    if (!(await duties.take(db.reader, taken, DUTY_LEASE_MS, duty.everyMs))) return false;
    let failure: string | null = null;
    try {
      await duty.work(taken);
    } catch (error) {
      const { reason, message } = faultOf(error);
      failure = `${reason}: ${message}`;
      log.warn({ err: error, duty: duty.name }, 'a duty failed; the next round tries again');
    }
    await duties.finish(db.reader, taken, failure);
    return true;
  }
}
