import type { Amphorae, BuildHistory, Duties, Flows, Spares, TakenDuty, Tx } from '@octavia/db';
import type { AmphoraClass } from '@octavia/domain';
import { createAmphora, deleteAmphora, type Requester } from '@octavia/flows';
import { v7 as uuidv7 } from 'uuid';

/** Keeps amphorae ready. It does little itself: it counts, and asks flows to build and remove. Source: the Housekeeping Manager seed. */
export interface SparePool {
  /** How many there should be. */
  getSpareAmphoraSize(): number;
  /** How many are ready now, and how many are being built. */
  getReadySpareAmphoraCount(tx: Tx): Promise<{ readonly ready: number; readonly booting: number }>;
  /** Asks for `count` more. Returns their ids. */
  createAmphora(tx: Tx, count?: number): Promise<string[]>;
  /** Asks for the removal of those that are still spare. Returns their ids. */
  removeAmphora(tx: Tx, ids: readonly string[]): Promise<string[]>;
}

export interface SparePoolOptions {
  readonly size: number;
  readonly maxDeploying: number;
  readonly class: AmphoraClass;
  readonly computeDriver: string;
  readonly flowDeadlineMs: number;
}

/** Whose the spares are until a load balancer takes them. */
const HOUSEKEEPING: Omit<Requester, 'requestId'> = { projectId: 'octavia', userId: 'housekeeping' };

/** The pool of one class of amphorae. */
export class ClassSparePool implements SparePool {
  readonly #options: SparePoolOptions;
  readonly #parts: { readonly amphorae: Amphorae; readonly spares: Spares; readonly flows: Flows };

  constructor(options: SparePoolOptions, parts: { amphorae: Amphorae; spares: Spares; flows: Flows }) {
    this.#options = options;
    this.#parts = parts;
  }

  getSpareAmphoraSize(): number {
    return this.#options.size;
  }

  async getReadySpareAmphoraCount(tx: Tx): Promise<{ ready: number; booting: number }> {
    return this.#parts.amphorae.countSpares(tx, this.#options.class, this.#options.computeDriver);
  }

  async createAmphora(tx: Tx, count = 1): Promise<string[]> {
    const { amphorae, flows } = this.#parts;
    const { class: wanted, computeDriver, flowDeadlineMs: deadlineMs } = this.#options;
    const ids = Array.from({ length: count }, () => uuidv7());
    for (const id of ids) {
      const requester = { ...HOUSEKEEPING, requestId: uuidv7() };
      const { projectId, requestId, userId: author } = requester;
      await amphorae.insert(tx, { id, projectId, author, requestId, class: wanted, computeDriver });
      await flows.start(tx, createAmphora(id, requester, { deadlineMs }));
    }
    return ids;
  }

  async removeAmphora(tx: Tx, ids: readonly string[]): Promise<string[]> {
    const removed = await this.#parts.spares.discard(tx, ids);
    for (const id of removed) {
      const requester = { ...HOUSEKEEPING, requestId: uuidv7() };
      await this.#parts.flows.start(tx, deleteAmphora(id, requester, { deadlineMs: this.#options.flowDeadlineMs }));
    }
    return removed;
  }

  /** Brings the pool to its size, in the transaction of whoever has the duty. */
  async balance(tx: Tx, duties: Duties, duty: TakenDuty): Promise<{ created: string[]; removed: string[] }> {
    // Whoever was overtaken by another instance counts nothing and builds nothing.
    if (!(await duties.hold(tx, duty))) return { created: [], removed: [] };
    const { ready, booting } = await this.getReadySpareAmphoraCount(tx);
    const missing = missingSpares(this.#options, { ready, booting }, await this.#parts.spares.history(tx));
    if (missing >= 0) return { created: await this.createAmphora(tx, missing), removed: [] };
    const { class: wanted, computeDriver } = this.#options;
    const surplus = await this.#parts.spares.surplus(tx, wanted, computeDriver, Math.min(ready, -missing));
    return { created: [], removed: await this.removeAmphora(tx, surplus) };
  }
}

/** Delay after failed builds: doubled with each. While they fail, one at a time is tried. */
const FIRST_WAIT_MS = 2_000;
const LONGEST_WAIT_MS = 300_000;

/** How many spares to build now; below 0: so many are too many. */
export function missingSpares(
  { size, maxDeploying }: { readonly size: number; readonly maxDeploying: number },
  { ready, booting }: { readonly ready: number; readonly booting: number },
  { failures, endedMs }: BuildHistory,
): number {
  const missing = size - ready - booting;
  if (missing <= 0) return missing;
  if (failures === 0) return Math.max(0, Math.min(missing, maxDeploying - booting));
  const waitMs = Math.min(FIRST_WAIT_MS * 2 ** (failures - 1), LONGEST_WAIT_MS);
  return booting > 0 || endedMs < waitMs ? 0 : 1;
}
