import { type FieldViolation, InvalidRequest, UnsupportedByProvider } from '@octavia/domain';
import { canonicalAddress, isUnspecified } from './address.ts';

/** Longest name, description or tag, in characters. Source: Octavia, 255. */
const MAX_TEXT = 255;
/** Most tags of one object. */
const MAX_TAGS = 64;
const CONTROL_CHARACTER = /\p{Cc}/u;
const UUID_DIGITS = /^[0-9a-f]{32}$/;

/**
 * Collects everything that is wrong with a request while it is read, so that one answer names all of it. Readers return a value
 * also for a bad field: it goes nowhere, because `finish` throws.
 */
export class Violations {
  readonly #prefix: string;
  readonly #found: FieldViolation[] = [];
  #unsupported: UnsupportedByProvider | undefined;

  /** @param object the field of the request that has the object, such as `listener`; empty: paths are those of the request */
  constructor(object = '') {
    this.#prefix = object === '' ? '' : `${object}.`;
  }

  add(path: string, reason: string, description: string): void {
    this.addInRequest(this.#prefix + path, reason, description);
  }

  /** For a field that is not one of the object. */
  addInRequest(field: string, reason: string, description: string): void {
    this.#found.push({ field, reason, description });
  }

  /** The value is good, but no data plane of this deployment serves it. Told only when nothing else is wrong. */
  addUnsupported(path: string, value: string): void {
    this.#unsupported ??= new UnsupportedByProvider(this.#prefix + path, value);
  }

  /** Takes over what was found in another part of the same request. */
  include(other: Violations): void {
    this.#found.push(...other.#found);
  }

  /** @throws InvalidRequest, UnsupportedByProvider */
  finish(): void {
    if (this.#found.length > 0) throw new InvalidRequest(this.#found);
    if (this.#unsupported) throw this.#unsupported;
  }

  text(path: string, value = '', max = MAX_TEXT): string {
    if (isLongerThan(value, max)) this.add(path, 'TOO_LONG', `must have at most ${max} characters`);
    if (CONTROL_CHARACTER.test(value)) this.add(path, 'INVALID_CHARACTER', 'must not have control characters');
    return value;
  }

  tags(value: readonly string[]): readonly string[] {
    if (value.length > MAX_TAGS) this.add('tags', 'TOO_MANY', `must be at most ${MAX_TAGS}`);
    if (value.some((tag) => tag === '' || isLongerThan(tag, MAX_TEXT))) {
      this.add('tags', 'INVALID_TAG', `must have 1 to ${MAX_TEXT} characters each`);
    }
    if (value.some((tag) => CONTROL_CHARACTER.test(tag))) {
      this.add('tags', 'INVALID_CHARACTER', 'must not have control characters');
    }
    return value;
  }

  /** An id in lower case with dashes; null when it is empty. */
  optionalUuid(path: string, value = ''): string | null {
    if (value === '') return null;
    const digits = value.toLowerCase().replaceAll('-', '');
    const isUuid = UUID_DIGITS.test(digits) && (value.length === 32 || value.length === 36);
    if (!isUuid) this.add(path, 'INVALID_UUID', 'must be a UUID');
    return digits.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
  }

  uuid(path: string, value = ''): string {
    if (value === '') this.#required(path);
    return this.optionalUuid(path, value) ?? '';
  }

  integer(path: string, value: number | undefined, range: { min: number; max: number; default?: number }): number {
    const { min, max } = range;
    const read = value ?? range.default;
    if (read === undefined) this.#required(path);
    else if (read < min || read > max) this.add(path, 'OUT_OF_RANGE', `must be ${min} to ${max}`);
    return read ?? min;
  }

  /** A port that must be given: 0 is the same as none. */
  port(path: string, value: number): number {
    return this.integer(path, value === 0 ? undefined : value, { min: 1, max: 65_535 });
  }

  /** An address in its canonical form; null when it is empty. */
  optionalAddress(path: string, value = ''): string | null {
    if (value === '') return null;
    const address = canonicalAddress(value);
    if (address === null) this.add(path, 'INVALID_ADDRESS', 'must be an IPv4 or IPv6 address');
    else if (isUnspecified(address)) this.add(path, 'INVALID_ADDRESS', 'must be the address of a host');
    return address;
  }

  address(path: string, value = ''): string {
    if (value === '') this.#required(path);
    return this.optionalAddress(path, value) ?? '';
  }

  /**
   * A word of an enum, which the provider must serve.
   * @param value null: unspecified
   */
  served<T extends string>(path: string, value: T | null, served: readonly T[]): T {
    if (value === null) this.#required(path);
    else if (!served.includes(value)) this.addUnsupported(path, value);
    return value ?? (served[0] as T);
  }

  #required(path: string): void {
    this.add(path, 'REQUIRED', 'is required');
  }
}

/** In characters as PostgreSQL counts them. */
function isLongerThan(text: string, max: number): boolean {
  // A character has one or two units.
  return text.length > 2 * max || (text.length > max && [...text].length > max);
}

/** Reads an id of a request that has nothing else to check. @throws InvalidRequest */
export function readId(field: string, value: string): string {
  const check = new Violations();
  const id = check.uuid(field, value);
  check.finish();
  return id;
}
