/**
 * A map of at most `capacity` entries that forgets those not asked for in a long time. Two halves instead of an order of use:
 * asking costs one look-up, and no bookkeeping for each.
 */
export class RecentMap<V> {
  readonly #half: number;
  #young = new Map<string, V>();
  #old = new Map<string, V>();

  constructor(capacity: number) {
    this.#half = Math.max(1, Math.floor(capacity / 2));
  }

  get size(): number {
    return this.#young.size + this.#old.size;
  }

  get(key: string): V | undefined {
    const value = this.#young.get(key);
    if (value !== undefined) return value;
    const found = this.#old.get(key);
    if (found === undefined) return undefined;
    this.#old.delete(key);
    this.set(key, found);
    return found;
  }

  set(key: string, value: V): void {
    if (this.#young.size >= this.#half && !this.#young.has(key)) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    this.#young.set(key, value);
  }
}
