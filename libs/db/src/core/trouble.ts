import { Unavailable } from '@octavia/domain';

/**
 * Classes of SQLSTATE after which the same work may succeed later. 08: connection, 57P: shutdown, 53: no connections, memory or disk
 * left, 58: the system under the server, 25006: it is a standby by now, and its successor is elsewhere, 25P03: this process was stopped
 * inside a transaction.
 */
const PASSING = /^(08|57P0|53|58|25006|25P03)/;
const DISK_FULL = '53100';
const SOCKET = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'ENOENT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
]);
/** What `pg` says without a code. */
const WORDS =
  /Connection terminated|timeout exceeded when trying to connect|Client has encountered a connection error|not queryable/i;

/** Whether an error means that the database cannot do it just now: the same work may succeed later. */
export function isDatabaseTrouble(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { code } = error as { code?: unknown };
  if (typeof code === 'string' && (PASSING.test(code) || SOCKET.has(code))) return true;
  return WORDS.test(error.message);
}

/** The database cannot do it just now: DATABASE_FULL or DATABASE_UNAVAILABLE. Nothing of the work was kept, or all of it. */
export class DatabaseUnavailable extends Unavailable {
  constructor(cause: Error) {
    const isFull = (cause as { code?: unknown }).code === DISK_FULL;
    super(
      isFull ? 'DATABASE_FULL' : 'DATABASE_UNAVAILABLE',
      isFull
        ? 'The disk of the database is full. Free some space on it; the controller goes on by itself.'
        : 'The database does not answer just now. Try again in a moment; the controller goes on by itself.',
      {},
      1_000,
      { cause },
    );
  }
}

/** The error as a caller can act on it: trouble with the database gets its name, anything else stays. */
export function namingDatabaseTrouble(error: unknown): unknown {
  return error instanceof Error && isDatabaseTrouble(error) ? new DatabaseUnavailable(error) : error;
}
