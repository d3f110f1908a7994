import { createHash } from 'node:crypto';
import { InvalidRequest } from '@octavia/domain';

const VERSION = 1;
/** Longest token that we look at, in characters. */
const MAX_LENGTH = 200;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** What a listing asks for besides its page; the token is good for these only. */
export type Filters = Readonly<Record<string, string | null>>;

/** Token of the page that begins after an id. */
export function pageToken(lastId: string, filters: Filters): string {
  return Buffer.from(JSON.stringify([VERSION, lastId, fingerprint(filters)])).toString('base64url');
}

/** The id after which the page begins; null for the first page. @throws InvalidRequest INVALID_PAGE_TOKEN */
export function afterOf(token: string, filters: Filters): string | null {
  if (token === '') return null;
  const [version, lastId, print] = parse(token);
  if (version !== VERSION || typeof lastId !== 'string' || !UUID.test(lastId)) throw invalid('is not one of ours');
  if (print !== fingerprint(filters)) throw invalid('belongs to a listing with other fields; start again without it');
  return lastId;
}

function parse(token: string): unknown[] {
  if (token.length > MAX_LENGTH) throw invalid('is not one of ours');
  try {
    const parsed: unknown = JSON.parse(Buffer.from(token, 'base64url').toString('utf8'));
    if (Array.isArray(parsed)) return parsed;
  } catch {
    // Told below.
  }
  throw invalid('is not one of ours');
}

function fingerprint(filters: Filters): string {
  const sorted = Object.entries(filters).sort(([a], [b]) => (a < b ? -1 : 1));
  return createHash('sha256').update(JSON.stringify(sorted)).digest('base64url').slice(0, 12);
}

function invalid(description: string): InvalidRequest {
  return new InvalidRequest([{ field: 'page_token', description, reason: 'INVALID_PAGE_TOKEN' }]);
}
