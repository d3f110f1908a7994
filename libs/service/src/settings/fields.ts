import { BadValue, type Field, type FieldOptions, makeField } from './field.ts';

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Longest duration that Node's timers can wait for, in milliseconds (2^31 - 1): more would fire at once. */
const MAX_DURATION_MS = 2_147_483_647;

/**
 * Reads `500ms`, `5s`, `10m`, `1h` or `7d` as milliseconds.
 * @throws BadValue
 */
export function parseDuration(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(text.trim());
  const unit = UNIT_MS[match?.[2] ?? ''];
  if (!match || unit === undefined) throw new BadValue('is not a duration: write a number and ms, s, m, h or d');
  return Math.round(Number(match[1]) * unit);
}

/** A length of time, in milliseconds. Written with its unit: `500ms`, `5s`, `10m`, `1h`, `7d`. */
export function duration(
  name: string,
  options: FieldOptions & { default?: string; min?: string; max?: string } = {},
): Field<number> {
  const min = options.min === undefined ? 0 : parseDuration(options.min);
  const max = options.max === undefined ? MAX_DURATION_MS : parseDuration(options.max);
  const allowed = `a duration from ${options.min ?? '0s'} to ${options.max ?? '24d'}, such as 500ms, 5s, 10m, 1h, 7d`;
  return makeField({
    name,
    options,
    allowed,
    default: options.default,
    unit: 'ms',
    read(text) {
      const ms = parseDuration(text);
      if (ms < min || ms > max) throw new BadValue('is out of range');
      return ms;
    },
  });
}

/** A whole number. */
export function integer(
  name: string,
  options: FieldOptions & { default?: number; min?: number; max?: number; unit?: string } = {},
): Field<number> {
  const min = options.min ?? Number.MIN_SAFE_INTEGER;
  const max = options.max ?? Number.MAX_SAFE_INTEGER;
  const bounds = [
    options.min === undefined ? '' : ` from ${options.min}`,
    options.max === undefined ? '' : ` to ${options.max}`,
  ];
  return makeField({
    name,
    options,
    allowed: `a whole number${bounds.join('')}`,
    default: options.default?.toString(),
    unit: options.unit,
    read(text) {
      if (!/^-?\d+$/.test(text.trim())) throw new BadValue('is not a whole number');
      const value = Number(text);
      if (value < min || value > max) throw new BadValue('is out of range');
      return value;
    },
  });
}

/** Longest text of a setting, in characters, so that a wrong file does not become a setting. */
const MAX_TEXT = 4096;

/** A text; with `pattern` it must match as a whole. */
export function text(
  name: string,
  options: FieldOptions & { default?: string; pattern?: RegExp; allowed?: string } = {},
): Field<string> {
  const { pattern } = options;
  return makeField({
    name,
    options,
    allowed: options.allowed ?? (pattern ? `a text that matches ${pattern.source}` : 'a text'),
    default: options.default,
    ...(options.default === '' ? { whenUnset: () => '' } : {}),
    read(value) {
      if (value.length > MAX_TEXT) throw new BadValue(`is longer than ${MAX_TEXT} characters`);
      const match = pattern?.exec(value);
      if (pattern && match?.[0] !== value) throw new BadValue('does not match');
      return value;
    },
  });
}

/** `true` or `false`; also 1, 0, yes, no, on, off. */
export function flag(name: string, options: FieldOptions & { default?: boolean } = {}): Field<boolean> {
  return makeField({
    name,
    options,
    allowed: 'true or false',
    default: options.default?.toString(),
    read(value) {
      const word = value.trim().toLowerCase();
      if (['true', '1', 'yes', 'on'].includes(word)) return true;
      if (['false', '0', 'no', 'off'].includes(word)) return false;
      throw new BadValue('is neither true nor false');
    },
  });
}

/** Most entries of a list. */
const MAX_LIST = 1000;

/** Texts separated by commas; blanks round them and empty ones are dropped. */
export function list(
  name: string,
  options: FieldOptions & { default?: readonly string[]; min?: number; pattern?: RegExp; allowed?: string } = {},
): Field<readonly string[]> {
  const { pattern } = options;
  return makeField<readonly string[]>({
    name,
    options,
    allowed: options.allowed ?? 'texts separated by commas',
    default: options.default?.join(','),
    ...(options.default?.length === 0 ? { whenUnset: () => [] } : {}),
    read(value) {
      const entries = value
        .split(',')
        .map((entry) => entry.trim())
        .filter((entry) => entry !== '');
      if (entries.length > MAX_LIST) throw new BadValue(`has more than ${MAX_LIST} entries`);
      if (entries.length < (options.min ?? 0)) throw new BadValue('has too few entries');
      const wrong = pattern ? entries.find((entry) => pattern.exec(entry)?.[0] !== entry) : undefined;
      if (wrong !== undefined) throw new BadValue(`has the entry ${wrong}, which does not match`);
      return entries;
    },
  });
}

/** One of some words. */
export function oneOf<const T extends string>(
  name: string,
  values: readonly T[],
  options: FieldOptions & { default?: NoInfer<T> } = {},
): Field<T> {
  return makeField<T>({
    name,
    options,
    allowed: values.join(', '),
    default: options.default,
    read(value) {
      const found = values.find((candidate) => candidate === value.trim());
      if (found === undefined) throw new BadValue('is not one of them');
      return found;
    },
  });
}

/** Where to listen or connect. */
export interface HostPort {
  /** Without brackets round an IPv6 address. */
  readonly host: string;
  readonly port: number;
}

/** Writes `host:port`, with brackets round an IPv6 address. */
export function formatHostPort({ host, port }: HostPort): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/**
 * Reads `host:port`.
 * @throws BadValue
 */
export function parseHostPort(value: string): HostPort {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]\s/]+)):(\d{1,5})$/.exec(value.trim());
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || !(port <= 65_535)) throw new BadValue('is not host:port');
  return { host, port };
}

/** `host:port`, such as `127.0.0.1:8443` or `[::1]:8443`; port 0 lets the system choose one to listen on. */
export function hostPort(
  name: string,
  options?: FieldOptions & { default?: string; optional?: false },
): Field<HostPort>;
export function hostPort(name: string, options: FieldOptions & { optional: true }): Field<HostPort | undefined>;
export function hostPort(
  name: string,
  options: FieldOptions & { default?: string; optional?: boolean } = {},
): Field<HostPort | undefined> {
  return makeField<HostPort | undefined>({
    name,
    options,
    allowed: 'host:port, such as 127.0.0.1:8443 or [::1]:8443',
    default: options.default,
    ...(options.optional ? { whenUnset: () => undefined } : {}),
    read: parseHostPort,
  });
}

/** Several `host:port`, separated by commas. */
export function hostPorts(
  name: string,
  options: FieldOptions & { default?: string; min?: number } = {},
): Field<readonly HostPort[]> {
  const entries = list(name, { default: options.default === undefined ? undefined : [options.default] });
  return makeField<readonly HostPort[]>({
    name,
    options,
    allowed: 'host:port, several separated by commas',
    default: options.default,
    ...(options.default === '' ? { whenUnset: () => [] } : {}),
    read(value, all) {
      const parsed = entries.parse(value, all).map(parseHostPort);
      if (parsed.length < (options.min ?? 0)) throw new BadValue('has too few entries');
      return parsed;
    },
  });
}
