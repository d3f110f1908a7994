import { closeSync, fstatSync, openSync, renameSync, writeSync } from 'node:fs';
import { type Logger, pino } from 'pino';

/** A log file is moved to `.1` at this size, so a data folder holds at most twice as much. */
const MAX_LOG_BYTES = 5 * 1024 * 1024;

/** Appends lines to a file that never grows beyond a limit. A full disk loses lines, never the caller. */
class BoundedFile {
  readonly #path: string;
  #fd: number;
  #bytes: number;

  constructor(path: string) {
    this.#path = path;
    this.#fd = openSync(path, 'a', 0o600);
    this.#bytes = fstatSync(this.#fd).size;
  }

  write(line: string): void {
    try {
      if (this.#bytes > MAX_LOG_BYTES) this.#turn();
      this.#bytes += writeSync(this.#fd, line);
    } catch {
      // The disk is full: there is no better place to say so than the answer of the request that fails for it.
    }
  }

  #turn(): void {
    renameSync(this.#path, `${this.#path}.1`);
    closeSync(this.#fd);
    this.#fd = openSync(this.#path, 'a', 0o600);
    this.#bytes = 0;
  }
}

/** JSON lines in `file`, each with the amphora id. */
export function openLog(file: string, amphoraId: string, level: 'debug' | 'info'): Logger {
  const options = { name: 'amphora-agent', level, base: { pid: process.pid, 'octavia.amphora.id': amphoraId } };
  return pino({ ...options, timestamp: pino.stdTimeFunctions.isoTime }, new BoundedFile(file));
}
