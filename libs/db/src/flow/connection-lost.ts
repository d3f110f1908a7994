/** Classes of SQLSTATE that say: the server went away, or lets nobody in just now. 08: connection, 57P: shutdown, 53300: too many. */
const AWAY = /^(08|57P0|53300)/;
const SOCKET = new Set(['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'ENOENT']);
/** What `pg` says without a code. */
const WORDS =
  /Connection terminated|timeout exceeded when trying to connect|Client has encountered a connection error|not queryable/i;

/** Whether an error means that the database cannot be reached just now: the same work may succeed later. */
export function isConnectionLost(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { code } = error as { code?: unknown };
  if (typeof code === 'string' && (AWAY.test(code) || SOCKET.has(code))) return true;
  return WORDS.test(error.message);
}
