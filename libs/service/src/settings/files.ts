import { accessSync, constants, readFileSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { BadValue, type Field, type FieldOptions, MissingValue, makeField } from './field.ts';

/** Longest secret, in bytes: enough for a key with its chain. */
const MAX_SECRET_BYTES = 65_536;

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
}

function readableFile(path: string): string {
  const absolute = resolve(path);
  try {
    accessSync(absolute, constants.R_OK);
    if (statSync(absolute).isFile()) return absolute;
  } catch (error) {
    throw new BadValue(`cannot be read (${codeOf(error)})`);
  }
  throw new BadValue('is not a file');
}

/** The absolute path of a file that this process can read. */
export function file(name: string, options: FieldOptions & { default?: string; optional?: false }): Field<string>;
export function file(name: string, options: FieldOptions & { optional: true }): Field<string | undefined>;
export function file(name: string): Field<string>;
export function file(
  name: string,
  options: FieldOptions & { default?: string; optional?: boolean } = {},
): Field<string | undefined> {
  return makeField<string | undefined>({
    name,
    options,
    allowed: 'the path of a readable file',
    default: options.default,
    ...(options.optional ? { whenUnset: () => undefined } : {}),
    read: readableFile,
  });
}

/** The absolute path of a folder, which need not exist yet. */
export function folder(name: string, options: FieldOptions & { default?: string } = {}): Field<string> {
  return makeField({
    name,
    options,
    allowed: 'the path of a folder',
    default: options.default,
    read: (path) => resolve(path),
  });
}

interface SecretOptions extends FieldOptions {
  optional?: boolean;
  /**
   * A variable that may hold the secret itself, for development: the environment of a process can be read by
   * others of its user, so the file wins when both are set.
   */
  orVariable?: string;
}

/** The content of the file that the variable names, without white space round it. Never shown, never logged. */
export function secretFile(name: string, options?: SecretOptions & { optional?: false }): Field<string>;
export function secretFile(name: string, options: SecretOptions & { optional: true }): Field<string | undefined>;
export function secretFile(name: string, options: SecretOptions = {}): Field<string | undefined> {
  const { orVariable } = options;
  return makeField<string | undefined>({
    name,
    options,
    allowed: `the path of a readable file with the secret${orVariable ? `; for development ${orVariable} may hold it` : ''}`,
    default: undefined,
    isSecret: true,
    isRequired: !options.optional,
    whenUnset(all) {
      const direct = orVariable === undefined ? undefined : all[orVariable];
      if (direct !== undefined && direct !== '') return direct;
      if (options.optional) return undefined;
      throw new MissingValue('is not set');
    },
    read(path) {
      const absolute = readableFile(path);
      if (statSync(absolute).size > MAX_SECRET_BYTES) {
        throw new BadValue(`names a file of more than ${MAX_SECRET_BYTES} bytes`);
      }
      const secret = readFileSync(absolute, 'utf8').trim();
      if (secret === '') throw new BadValue('names an empty file');
      return secret;
    },
  });
}
