import { createHash } from 'node:crypto';
import { mkdir, readdir, readlink, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { formatIpv4, type Ipv4Range } from '../../addresses.ts';
import { ComputeUnavailable } from '../../errors.ts';

/**
 * Management addresses of amphorae. A lease is a symbolic link `<address>` to the amphora's id: making it is atomic with its content,
 * so two builds never share an address, and a crash leaves either no lease or a whole one, which the next build finds.
 */
export class AddressLeases {
  readonly #folder: string;
  readonly #range: Ipv4Range;

  constructor(folder: string, range: Ipv4Range) {
    this.#folder = folder;
    this.#range = range;
  }

  /** The amphora's address: the one that it has, else a free one. @throws ComputeUnavailable when all are leased */
  async lease(amphoraId: string): Promise<string> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    const kept = (await this.#of(amphoraId))[0];
    if (kept) return kept;
    const size = this.#range.last - this.#range.first + 1;
    const start = createHash('sha256').update(amphoraId).digest().readUInt32BE(0);
    for (let i = 0; i < size; i++) {
      const address = formatIpv4(this.#range.first + ((start + i) % size));
      if (await this.#take(address, amphoraId)) return address;
    }
    throw new ComputeUnavailable(`All ${size} management addresses are leased. Delete amphorae, or widen the range.`);
  }

  /** Gives back what the amphora has. */
  async release(amphoraId: string): Promise<void> {
    for (const address of await this.#of(amphoraId)) await rm(join(this.#folder, address), { force: true });
  }

  async #take(address: string, amphoraId: string): Promise<boolean> {
    try {
      await symlink(amphoraId, join(this.#folder, address));
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
      throw error;
    }
  }

  async #of(amphoraId: string): Promise<readonly string[]> {
    const addresses = await readdir(this.#folder).catch(() => []);
    const holders = await Promise.all(
      addresses.map((address) => readlink(join(this.#folder, address)).catch(() => null)),
    );
    return addresses.filter((_, index) => holders[index] === amphoraId);
  }
}
