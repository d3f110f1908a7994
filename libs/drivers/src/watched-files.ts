import { readFile, stat } from 'node:fs/promises';

/** Contents of files that are read again when one of them changes: certificates are replaced while we run. */
export class WatchedFiles {
  readonly #paths: readonly string[];
  #known: { readonly stamp: string; readonly contents: readonly string[] } | null = null;

  constructor(...paths: readonly string[]) {
    this.#paths = paths;
  }

  /** The contents, in the order of the paths, and a stamp that differs whenever they may. @throws as `readFile` does */
  async read(): Promise<{ readonly stamp: string; readonly contents: readonly string[] }> {
    const stamp = await this.#stamp();
    if (this.#known?.stamp !== stamp) {
      const contents = await Promise.all(this.#paths.map((path) => readFile(path, 'utf8')));
      this.#known = { stamp, contents };
    }
    return this.#known;
  }

  async #stamp(): Promise<string> {
    const stats = await Promise.all(this.#paths.map((path) => stat(path)));
    return stats.map(({ ino, size, mtimeMs }) => `${ino} ${size} ${mtimeMs}`).join(' / ');
  }
}
