import { readdir, rm, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { FenceNotConfirmed } from '../../errors.ts';
import { readIfThere, writeWhole } from '../../files.ts';

/** What is in the file of a holder whose VIP is just being taken away; that of any other is empty. */
const LEAVING = 'leaving\n';

/** Which amphorae have the VIP of a load balancer: a folder for each, with a file for each holder. */
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

  /** Load balancers other than this whose VIPs the amphora has, each with whether it is just being taken away. */
  async othersAt(
    amphoraId: string,
    otherThan: string,
  ): Promise<readonly { loadBalancerId: string; isLeaving: boolean }[]> {
    const ids = (await this.loadBalancers()).filter((id) => id !== otherThan);
    const contents = await Promise.all(ids.map((id) => readIfThere(join(this.#folder, id, amphoraId))));
    return ids.flatMap((loadBalancerId, index) => {
      const content = contents[index] ?? null;
      return content === null ? [] : [{ loadBalancerId, isLeaving: content === LEAVING }];
    });
  }

  /** Writes down that a holder's VIP is being taken away, or is not after all. */
  async setLeaving(loadBalancerId: string, amphoraId: string, isLeaving: boolean): Promise<void> {
    await writeWhole(join(this.#folder, loadBalancerId, amphoraId), isLeaving ? LEAVING : '');
  }

  async leave(loadBalancerId: string, amphoraId: string): Promise<void> {
    await rm(join(this.#folder, loadBalancerId, amphoraId), { force: true });
    await rmdir(join(this.#folder, loadBalancerId)).catch(() => {}); // Another has it, too, or there is none.
  }

  async forget(loadBalancerId: string): Promise<void> {
    await rm(join(this.#folder, loadBalancerId), { recursive: true, force: true });
  }
}
