import type { Database, ShardOwners, ShardRange } from '@octavia/db';

/** Who owns which shard, for those who watch. */
export class ShardMapFeed {
  readonly #db: Database;
  readonly #owners: ShardOwners;
  readonly #watchers = new Set<() => void>();
  #ranges: readonly ShardRange[] = [];
  #text = '';
  #version = 0;

  constructor(db: Database, owners: ShardOwners) {
    this.#db = db;
    this.#owners = owners;
  }

  /** Reads the map and wakes the watchers when it changed. */
  async refresh(): Promise<void> {
    const ranges = await this.#owners.map(this.#db.reader);
    const text = ranges.map(({ first, last, owner, epoch }) => `${first}-${last} ${owner} ${epoch}`).join('\n');
    if (text === this.#text && this.#version > 0) return;
    this.#ranges = ranges;
    this.#text = text;
    this.#version += 1;
    for (const wake of this.#watchers) wake();
  }

  /** The map now, then after each change, until `signal` aborts. A slow reader sees the newest, not every one. */
  async *watch(signal: AbortSignal): AsyncGenerator<readonly ShardRange[]> {
    if (this.#version === 0) await this.refresh();
    for (let seen = 0; !signal.aborted; ) {
      if (seen !== this.#version) {
        seen = this.#version;
        yield this.#ranges;
      } else await this.#changed(signal);
    }
  }

  #changed(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#watchers.delete(wake);
        signal.removeEventListener('abort', wake);
        resolve();
      };
      this.#watchers.add(wake);
      signal.addEventListener('abort', wake);
    });
  }
}
