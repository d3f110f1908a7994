import { closeSync, openSync, renameSync, statSync, writeSync } from 'node:fs';

/** A log file keeps this much, and its predecessor as much again, bytes. */
const LOG_LIMIT_BYTES = 10 * 1024 * 1024;

/** Lines of one service; the file before it is kept as `<name>.1`. */
export class LogFile {
  readonly path: string;
  #descriptor: number | null = null;
  #bytes = 0;

  constructor(path: string) {
    this.path = path;
  }

  /** Appends a line. A full disk loses the line, never the service. */
  write(line: string): void {
    try {
      if (this.#descriptor === null) this.#open();
      if (this.#bytes > LOG_LIMIT_BYTES) this.#rotate();
      if (this.#descriptor !== null) this.#bytes += writeSync(this.#descriptor, `${line}\n`);
    } catch {
      this.close();
    }
  }

  close(): void {
    if (this.#descriptor !== null) closeSync(this.#descriptor);
    this.#descriptor = null;
  }

  #open(): void {
    this.#descriptor = openSync(this.path, 'a', 0o600);
    this.#bytes = statSync(this.path).size;
  }

  #rotate(): void {
    this.close();
    renameSync(this.path, `${this.path}.1`);
    this.#open();
  }
}

const LEVELS: Record<string, string> = { info: '', warn: 'warning: ', error: 'error: ', fatal: 'fatal: ' };
/** Fields that say nothing to a person who watches one machine. */
const QUIET = new Set([
  ...['level', 'time', 'pid', 'hostname', 'name', 'msg', 'trace_id', 'span_id', 'trace_flags', 'err'],
  ...['octavia.project.id', 'octavia.request.id', 'octavia.flow.id'],
]);

/**
 * Turns a line of a service's JSON log into one for people; null: nothing that they need to see.
 * @param onlyTrouble while everything starts, the launcher tells of it itself
 */
export function readableLine(service: string, line: string, onlyTrouble: boolean): string | null {
  let entry: Record<string, unknown>;
  try {
    entry = JSON.parse(line);
  } catch {
    return `${service}  ${line}`;
  }
  const prefix = LEVELS[String(entry.level)];
  if (prefix === undefined || (onlyTrouble && prefix === '')) return null;
  const error = (entry.err as { message?: string } | undefined)?.message;
  const fields = Object.entries(entry)
    .filter(([key, value]) => !QUIET.has(key) && value !== null && typeof value !== 'object')
    .map(([key, value]) => `${key.replace(/^octavia\./, '')}=${value}`);
  return [`${service}  ${prefix}${entry.msg ?? ''}`, error, ...fields].filter(Boolean).join('  ');
}
