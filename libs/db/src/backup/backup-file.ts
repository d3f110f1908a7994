import { createHash, type Hash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip, createGzip } from 'node:zlib';

/** Raise it when a reader of the older format would misunderstand a file. */
const FORMAT = 1;
const PRODUCT = 'octavia-controller';

/** First line of a backup. */
export interface BackupHeader {
  readonly format: typeof FORMAT;
  readonly product: typeof PRODUCT;
  readonly installationId: string;
  readonly createdAt: string;
  /** Migrations of the database, in order. */
  readonly schema: readonly string[];
  /** In an order in which they can be filled. */
  readonly tables: readonly { readonly name: string; readonly columns: readonly string[] }[];
}

/** What follows the header: which table the next rows are of, or a row of it as JSON text. */
export type BackupEntry = { readonly table: string } | { readonly row: string };

/** A file that is no backup, or not a whole one, or of another release. */
export class BackupUnusable extends Error {}

/**
 * Writes a backup: gzip of lines of JSON (header, entries, and last the count of rows and a SHA-256 of all lines before). It appears
 * whole under its name, readable by its owner only. Returns the number of rows.
 */
export async function writeBackupFile(
  path: string,
  header: Omit<BackupHeader, 'format' | 'product'>,
  entries: AsyncIterable<BackupEntry>,
): Promise<number> {
  const part = `${path}.part`;
  const hash = createHash('sha256');
  let rows = 0;
  async function* lines(): AsyncGenerator<string> {
    yield hashed(hash, JSON.stringify({ format: FORMAT, product: PRODUCT, ...header }));
    for await (const entry of entries) {
      if ('row' in entry) rows++;
      yield hashed(hash, 'row' in entry ? entry.row : JSON.stringify(entry));
    }
    yield `${JSON.stringify({ rows, sha256: hash.digest('hex') })}\n`;
  }
  await rm(part, { force: true });
  try {
    await pipeline(Readable.from(lines()), createGzip(), createWriteStream(part, { mode: 0o600, flags: 'wx' }));
    const file = await open(part);
    await file.sync();
    await file.close();
    await rename(part, path);
  } catch (error) {
    await rm(part, { force: true });
    throw error;
  }
  return rows;
}

function hashed(hash: Hash, line: string): string {
  hash.update(line).update('\n');
  return `${line}\n`;
}

/** Reads a backup once from end to end. @throws BackupUnusable */
export async function checkBackupFile(path: string): Promise<BackupHeader> {
  const hash = createHash('sha256');
  let first: string | null = null;
  let last: string | null = null;
  for await (const line of linesOf(path)) {
    if (last !== null) hash.update(last).update('\n');
    first ??= line;
    last = line;
  }
  const header = headerOf(path, first ?? '');
  const end = parse(last ?? '') as { sha256?: unknown } | null;
  if (end?.sha256 !== hash.digest('hex')) {
    throw new BackupUnusable(`${path} is cut short or damaged: its checksum is wrong. Take another backup.`);
  }
  return header;
}

/** What is behind the header of a file that was checked. */
export async function* readBackupFile(path: string): AsyncGenerator<BackupEntry> {
  let isFirst = true;
  let before: string | null = null;
  for await (const line of linesOf(path)) {
    // The last line is the checksum.
    if (before !== null) yield before.startsWith('{"table":') ? (JSON.parse(before) as BackupEntry) : { row: before };
    if (!isFirst) before = line;
    isFirst = false;
  }
}

async function* linesOf(path: string): AsyncGenerator<string> {
  const source = createReadStream(path);
  const text = source.pipe(createGunzip());
  source.once('error', (error) => text.destroy(error));
  try {
    yield* createInterface({ input: text, crlfDelay: Number.POSITIVE_INFINITY });
    if (text.errored) throw text.errored;
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    const isOfSystem = code !== undefined && /^E[A-Z]+$/.test(code);
    const why = isOfSystem ? `cannot be read: ${message}` : `is no backup, or was cut short (${message})`;
    throw new BackupUnusable(`${path} ${why}.`, { cause });
  } finally {
    source.destroy();
  }
}

function headerOf(path: string, line: string): BackupHeader {
  const header = parse(line) as BackupHeader | null;
  if (header?.product !== PRODUCT) throw new BackupUnusable(`${path} is no backup of the Octavia controller.`);
  if (header.format !== FORMAT) {
    throw new BackupUnusable(
      `${path} has format ${header.format}; this release reads ${FORMAT}. Restore it with the release that made it.`,
    );
  }
  return header;
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return null;
  }
}
