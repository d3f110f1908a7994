import { FrameworkError } from '../errors.ts';
import type { Step } from './step.ts';

/** What a handler gets. */
export interface AgentRequest {
  /** Named parts of the path, decoded. */
  readonly params: Readonly<Record<string, string>>;
  readonly body: Buffer;
  readonly step: Step;
}

/** What a handler gives back. */
export interface Answer {
  readonly status: 200 | 202;
  /** Text is sent as text/plain, anything else as JSON. */
  readonly body: string | Buffer | object;
  /** MD5 in hex of the file that this is about. */
  readonly etag?: string;
}

export interface Route {
  readonly method: 'GET' | 'PUT' | 'POST' | 'DELETE';
  /** Such as `/1.0/loadbalancer/:lb/haproxy`. */
  readonly path: string;
  /** Limit of the body; 0: it takes none. */
  readonly maxBodyBytes: number;
  handle(request: AgentRequest): Answer | Promise<Answer>;
}

const NOT_FOUND =
  'The requested URL was not found on the server. If you entered the URL manually please check your spelling and try again.';
const NOT_ALLOWED = 'The method is not allowed for the requested URL.';

/** Finds the route of a request. */
export class Router {
  readonly #routes: readonly { readonly route: Route; readonly words: readonly string[] }[];

  constructor(routes: readonly Route[]) {
    this.#routes = routes.map((route) => ({ route, words: route.path.split('/') }));
  }

  /** @throws FrameworkError 404 when no route has the path, 405 when one has, with another method */
  find(method: string, path: string): { route: Route; params: Record<string, string> } {
    const words = path.split('/').map(decode);
    const matching = this.#routes
      .map(({ route, words: pattern }) => ({ route, params: match(pattern, words) }))
      .filter((found): found is { route: Route; params: Record<string, string> } => found.params !== null);
    if (matching.length === 0) throw new FrameworkError(404, NOT_FOUND);
    const found = matching.find(({ route }) => route.method === method);
    if (!found) throw new FrameworkError(405, NOT_ALLOWED);
    return found;
  }
}

function match(pattern: readonly string[], words: readonly string[]): Record<string, string> | null {
  if (pattern.length !== words.length) return null;
  const params: Record<string, string> = {};
  for (const [index, part] of pattern.entries()) {
    const word = words[index] ?? '';
    if (part.startsWith(':') && word !== '') params[part.slice(1)] = word;
    else if (part !== word) return null;
  }
  return params;
}

function decode(word: string): string {
  try {
    return decodeURIComponent(word);
  } catch {
    return '';
  }
}
