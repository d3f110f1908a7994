import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { readIfThere, writeWhole } from '../../files.ts';
import type { Layout } from './options.ts';

/** A mark whose amphora is deleted is kept so long: no build that was stopped in the middle is expected to go on later. */
const KEEP_MS = 7 * 24 * 3600 * 1000;
/** Between two looks for marks that can be forgotten. */
const LOOK_EVERY_MS = 3600 * 1000;

/** Marks of amphorae that were fenced or deleted: whoever sees one builds and starts nothing. */
export class FenceMarks {
  readonly #layout: Layout;
  #lookedAt = Number.NEGATIVE_INFINITY;

  constructor(layout: Layout) {
    this.#layout = layout;
  }

  async has(amphoraId: string): Promise<boolean> {
    return (await readIfThere(join(this.#layout.marks, amphoraId))) !== null;
  }

  async make(amphoraId: string): Promise<void> {
    await writeWhole(join(this.#layout.marks, amphoraId), `${new Date().toISOString()}\n`);
  }

  /** Forgets old marks of deleted amphorae, now and then. Failures do not matter: it is tried again. */
  async forgetOld(nowMs = Date.now()): Promise<void> {
    if (nowMs - this.#lookedAt < LOOK_EVERY_MS) return;
    this.#lookedAt = nowMs;
    const living = new Set(await readdir(this.#layout.amphorae).catch(() => []));
    for (const amphoraId of await readdir(this.#layout.marks).catch(() => [])) {
      const path = join(this.#layout.marks, amphoraId);
      const madeMs = (await stat(path).catch(() => null))?.mtimeMs ?? nowMs;
      if (!living.has(amphoraId) && nowMs - madeMs > KEEP_MS) await rm(path, { force: true });
    }
  }
}
