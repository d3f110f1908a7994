import { canonicalAddress } from './address.ts';
import type { Violations } from './violations.ts';

/** Fields of a resource by what an update may do to them, as paths of the message. */
export interface Paths {
  readonly mutable: readonly string[];
  readonly immutable: readonly string[];
  /** Ignored. */
  readonly output: readonly string[];
}

/** Most paths of a mask that are looked at: a resource has fewer fields. */
const MAX_PATHS = 100;

/** Output fields of every resource. */
export const OUTPUT_PATHS = [
  'id',
  'provisioning_status',
  'operating_status',
  'status_detail',
  'created_at',
  'updated_at',
  'etag',
];

/** Fields whose value is a word of an enum: unspecified means that nothing was said. */
const ENUM_PATHS: ReadonlySet<string> = new Set(['protocol', 'lb_algorithm', 'type', 'topology']);

const UUID = /^[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}$/i;

/**
 * The object as an update wants it: `current`, with the masked fields of `request`; a masked field without a value goes back
 * to its default. Without a mask every field that is set counts; `*` stands for all that can be changed.
 */
export function applyUpdate<M extends object>(
  paths: Paths,
  current: M,
  request: M,
  mask: readonly string[] = [],
  check: Violations,
): M {
  if (mask.length > MAX_PATHS) check.addInRequest('update_mask', 'TOO_MANY', `must name at most ${MAX_PATHS} fields`);
  const merged = Object.fromEntries(Object.entries(current)) as Record<string, unknown>;
  for (const path of wantedPaths(paths, request, mask.slice(0, MAX_PATHS))) {
    const field = camelCase(path);
    const value = (request as Record<string, unknown>)[field];
    if (paths.mutable.includes(path)) merged[field] = value;
    else if (paths.immutable.includes(path)) {
      if (!isSame(value, merged[field])) check.add(path, 'IMMUTABLE_FIELD', 'cannot be changed');
    } else if (!paths.output.includes(path)) {
      check.addInRequest('update_mask', 'UNKNOWN_FIELD', `names ${path.slice(0, 100)}, which is not a field`);
    }
  }
  return merged as M;
}

function wantedPaths(paths: Paths, request: object, mask: readonly string[]): ReadonlySet<string> {
  if (mask.length > 0) return new Set(mask.flatMap((path) => (path === '*' ? paths.mutable : [path])));
  const valueOfPath = (path: string): unknown => (request as Record<string, unknown>)[camelCase(path)];
  const isGiven = (path: string): boolean =>
    ENUM_PATHS.has(path) ? isSpecified(valueOfPath(path)) : isPresent(valueOfPath(path));
  return new Set([
    ...paths.mutable.filter(isGiven),
    // These have no presence of their own in the message: zero and empty mean that nothing was said.
    ...paths.immutable.filter((path) => isGiven(path) && valueOfPath(path) !== '' && valueOfPath(path) !== 0),
  ]);
}

function isPresent(value: unknown): boolean {
  if (value === undefined) return false;
  return typeof value !== 'object' || value === null || Object.keys(value).length > 0;
}

function isSpecified(value: unknown): boolean {
  return typeof value === 'string' && !value.endsWith('_UNSPECIFIED');
}

function isSame(a: unknown, b: unknown): boolean {
  if (typeof a !== 'string' || typeof b !== 'string') return a === b;
  const canonical = (text: string): string => {
    const trimmed = text.trim();
    return canonicalAddress(trimmed) ?? (UUID.test(trimmed) ? trimmed.toLowerCase() : trimmed);
  };
  return canonical(a) === canonical(b);
}

function camelCase(path: string): string {
  return path.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}
