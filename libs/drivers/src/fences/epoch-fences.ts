import { mkdir, open, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { CallContext } from '../call-context.ts';
import { StaleFence } from '../errors.ts';

/** Remembers the highest epoch that each flow called with, and refuses lower ones. */
export interface EpochFences {
  /** Lets the call in, or refuses it. Calls without a fence are let in. @throws StaleFence */
  admit(context: CallContext | undefined): Promise<void>;
}

/** Flows that are remembered in memory; the one that called longest ago is forgotten first. */
const MAX_FLOWS = 10_000;

/** For one process: what another process saw is not known here. */
export class MemoryFences implements EpochFences {
  readonly #newest = new Map<string, number>();

  async admit(context: CallContext | undefined): Promise<void> {
    if (!context?.fence) return;
    const { flowId, epoch } = context.fence;
    const newest = this.#newest.get(flowId) ?? epoch;
    if (epoch < newest) throw new StaleFence(flowId, epoch, newest);
    this.#newest.delete(flowId); // So that the map stays ordered by last use.
    this.#newest.set(flowId, epoch);
    const oldest = this.#newest.keys().next().value;
    if (this.#newest.size > MAX_FLOWS && oldest !== undefined) this.#newest.delete(oldest);
  }
}

/** Epochs of a flow that did not call for so long are forgotten: no stopped process is expected to wake up later. */
const FORGET_AFTER_MS = 24 * 3600 * 1000;
/** Calls between two looks for what can be forgotten. */
const CALLS_PER_PURGE = 1000;

/**
 * For all processes that share a folder: one empty file per flow and epoch. A caller leaves its own epoch first and reads then,
 * so that of two callers the older one always sees the newer.
 */
export class FolderFences implements EpochFences {
  readonly #folder: string;
  #calls = 0;

  constructor(folder: string) {
    this.#folder = folder;
  }

  async admit(context: CallContext | undefined): Promise<void> {
    if (!context?.fence) return;
    const { flowId, epoch } = context.fence;
    const folder = join(this.#folder, encodeURIComponent(flowId));
    await this.#leave(folder, epoch);
    const newest = Math.max(epoch, ...(await readdir(folder)).map(Number).filter(Number.isSafeInteger));
    if (epoch < newest) throw new StaleFence(flowId, epoch, newest);
    if (this.#calls++ % CALLS_PER_PURGE === 0) await this.#purge();
  }

  async #leave(folder: string, epoch: number): Promise<void> {
    const file = join(folder, String(epoch));
    try {
      await (await open(file, 'a', 0o600)).close();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      await mkdir(folder, { recursive: true, mode: 0o700 });
      await (await open(file, 'a', 0o600)).close();
    }
  }

  async #purge(): Promise<void> {
    for (const name of await readdir(this.#folder)) {
      const folder = join(this.#folder, name);
      const changedMs = (await stat(folder).catch(() => null))?.mtimeMs ?? Date.now();
      if (Date.now() - changedMs > FORGET_AFTER_MS) await rm(folder, { recursive: true, force: true });
    }
  }
}
