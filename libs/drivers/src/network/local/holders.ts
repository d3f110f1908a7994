import { readdir, rm, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { FenceNotConfirmed } from '../../errors.ts';
import { writeWhole } from '../../files.ts';

/** Which amphorae have the VIP of a load balancer: a folder for each, with an empty file for each holder. */
export class Holders {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /**
   * Makes the amphora a holder, when fewer than `limit` others may still answer for the VIP. It enters itself before it looks, so that of
   * two that come at once at least one sees the other. Holders that cannot answer any more are forgotten.
   * @throws FenceNotConfirmed naming one that may
   */
  async enter(
    loadBalancerId: string,
    amphoraId: string,
    limit: number,
    mayAnswer: (amphoraId: string) => Promise<boolean>,
  ): Promise<void> {
    const file = join(this.#folder, loadBalancerId, amphoraId);
    const before = await this.of(loadBalancerId);
    await writeWhole(file, '');
    const others = (await this.of(loadBalancerId)).filter((id) => id !== amphoraId);
    const answering: string[] = [];
    for (const other of others) {
      if (await mayAnswer(other)) answering.push(other);
      else await rm(join(this.#folder, loadBalancerId, other), { force: true });
    }
    const [one] = answering;
    if (one === undefined || answering.length < limit) return;
    if (!before.includes(amphoraId)) await rm(file, { force: true });
    throw new FenceNotConfirmed(one, 'it has the VIP and was not fenced');
  }

  async of(loadBalancerId: string): Promise<readonly string[]> {
    const names = await readdir(join(this.#folder, loadBalancerId)).catch(() => []);
    return names.filter((name) => !name.startsWith('.')); // Drafts that a crash left.
  }

  /** Ids of the load balancers that have a holder. */
  async loadBalancers(): Promise<readonly string[]> {
    return readdir(this.#folder).catch(() => []);
  }

  /** Whether the amphora holds the VIP of a load balancer other than this. */
  async holdsAny(amphoraId: string, otherThan: string): Promise<boolean> {
    for (const id of await this.loadBalancers()) {
      if (id !== otherThan && (await this.of(id)).includes(amphoraId)) return true;
    }
    return false;
  }

  async leave(loadBalancerId: string, amphoraId: string): Promise<void> {
    await rm(join(this.#folder, loadBalancerId, amphoraId), { force: true });
    await rmdir(join(this.#folder, loadBalancerId)).catch(() => {}); // Another has it, too, or there is none.
  }

  async forget(loadBalancerId: string): Promise<void> {
    await rm(join(this.#folder, loadBalancerId), { recursive: true, force: true });
  }
}
