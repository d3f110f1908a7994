import { randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Where a noop driver keeps the world that it pretends: values that survive JSON, by bucket and key. */
export interface StateStore {
  get<T>(bucket: string, key: string): Promise<T | null>;
  put(bucket: string, key: string, value: unknown): Promise<void>;
  delete(bucket: string, key: string): Promise<void>;
  keys(bucket: string): Promise<readonly string[]>;
}

/** Lost with the process. Each bucket is bounded, so that a worker that runs for months does not grow. */
export class MemoryStore implements StateStore {
  readonly #buckets = new Map<string, Map<string, string>>();
  readonly #maxKeys: number;

  /** @param maxKeys per bucket; the oldest is forgotten first. Default: the million amphorae that the product is made for. */
  constructor(maxKeys = 1_000_000) {
    this.#maxKeys = maxKeys;
  }

  async get<T>(bucket: string, key: string): Promise<T | null> {
    const text = this.#buckets.get(bucket)?.get(key);
    return text === undefined ? null : (JSON.parse(text) as T);
  }

  async put(bucket: string, key: string, value: unknown): Promise<void> {
    const values = this.#buckets.get(bucket) ?? new Map<string, string>();
    this.#buckets.set(bucket, values.set(key, JSON.stringify(value)));
    const oldest = values.keys().next().value;
    if (values.size > this.#maxKeys && oldest !== undefined) values.delete(oldest);
  }

  async delete(bucket: string, key: string): Promise<void> {
    this.#buckets.get(bucket)?.delete(key);
  }

  async keys(bucket: string): Promise<readonly string[]> {
    return [...(this.#buckets.get(bucket)?.keys() ?? [])];
  }
}

/** Shared by all processes that are given the same folder, and kept over their ends. One small file per value. */
export class FolderStore implements StateStore {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  async get<T>(bucket: string, key: string): Promise<T | null> {
    const text = await readFile(this.#file(bucket, key), 'utf8').catch(nullIfAbsent);
    return text === null ? null : (JSON.parse(text) as T);
  }

  async put(bucket: string, key: string, value: unknown): Promise<void> {
    await mkdir(join(this.#folder, bucket), { recursive: true, mode: 0o700 });
    const draft = join(this.#folder, bucket, `.${randomUUID()}`);
    await writeFile(draft, JSON.stringify(value), { mode: 0o600 });
    await rename(draft, this.#file(bucket, key)); // A reader sees the old value or the new, never half of one.
  }

  async delete(bucket: string, key: string): Promise<void> {
    await rm(this.#file(bucket, key), { force: true });
  }

  async keys(bucket: string): Promise<readonly string[]> {
    const names = await readdir(join(this.#folder, bucket)).catch(nullIfAbsent);
    return (names ?? []).filter((name) => !name.startsWith('.')).map(decodeURIComponent);
  }

  #file(bucket: string, key: string): string {
    return join(this.#folder, bucket, encodeURIComponent(key));
  }
}

function nullIfAbsent(error: NodeJS.ErrnoException): null {
  if (error.code === 'ENOENT') return null;
  throw error;
}
