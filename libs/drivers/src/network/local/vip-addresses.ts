import { mkdir, readdir, readlink, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { formatIpv4, type Ipv4Range } from '../../addresses.ts';

/**
 * Who has which address: one symbolic link per address, to its owner's id. Making it is atomic with its content, so of two that ask at
 * once one gets it, and a crash leaves either nothing or a whole one, which the next call finds.
 */
export class VipAddresses {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Takes the first free address of a range. Returns null when there is none. */
  async takeFree(owner: string, { first, last }: Ipv4Range): Promise<string | null> {
    const taken = new Set(await readdir(this.#folder).catch(() => []));
    for (let number = first; number <= last; number++) {
      const address = formatIpv4(number);
      if (!taken.has(address) && (await this.take(address, owner))) return address;
    }
    return null;
  }

  /** Whether the address is the owner's now. */
  async take(address: string, owner: string): Promise<boolean> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    const path = join(this.#folder, address);
    try {
      await symlink(owner, path);
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      return (await readlink(path).catch(() => null)) === owner;
    }
  }

  /** Addresses that the owner has. */
  async of(owner: string): Promise<readonly string[]> {
    return (await this.all()).filter((one) => one.owner === owner).map(({ address }) => address);
  }

  async owners(): Promise<readonly string[]> {
    return (await this.all()).map(({ owner }) => owner);
  }

  /** Gives back all that the owner has. */
  async release(owner: string): Promise<void> {
    for (const address of await this.of(owner)) await rm(join(this.#folder, address), { force: true });
  }

  /** Every address that somebody has. */
  async all(): Promise<readonly { address: string; owner: string }[]> {
    const addresses = await readdir(this.#folder).catch(() => []);
    const owners = await Promise.all(addresses.map((one) => readlink(join(this.#folder, one)).catch(() => null)));
    return addresses.flatMap((address, index) => {
      const owner = owners[index] ?? null;
      return owner === null ? [] : [{ address, owner }];
    });
  }
}
