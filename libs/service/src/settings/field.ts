/** One setting: how it is named, read, checked and described. */
export interface Field<T> {
  readonly kind: 'field';
  readonly name: string;
  /** For the operator: what it does, and what goes wrong when it is set badly. */
  readonly doc: string;
  /** What may be written, such as `500ms to 10m`. */
  readonly allowed: string;
  /** As it would be written; undefined when the setting has none. */
  readonly default: string | undefined;
  /** Of the value as the program sees it, such as `ms`; empty when it has none. */
  readonly unit: string;
  /** Whether the value may never be shown. */
  readonly isSecret: boolean;
  /** Whether a missing value is a fault. */
  readonly isRequired: boolean;
  /** Turns the written value into ours. Unset gives undefined. Throws with what is wrong. */
  parse(text: string | undefined, all: Variables): T;
}

/** Variables by name, as in `process.env`. */
export type Variables = Readonly<Record<string, string | undefined>>;

/** Something is wrong with a written value; `message` continues "NAME=value ...". */
export class BadValue extends Error {}

/** The value is not set, and there is no default. */
export class MissingValue extends Error {}

/** What every field can be told. */
export interface FieldOptions {
  doc?: string;
}

interface FieldParts<T> {
  name: string;
  options: FieldOptions;
  allowed: string;
  default: string | undefined;
  unit?: string;
  isSecret?: boolean;
  isRequired?: boolean;
  read(text: string, all: Variables): T;
  /** The value when nothing is set. Without it the default is read; without a default it is a fault. */
  whenUnset?(all: Variables): T;
}

/** Builds a field from its parts: an unset or empty variable means the default. */
export function makeField<T>(parts: FieldParts<T>): Field<T> {
  return {
    kind: 'field',
    name: parts.name,
    doc: parts.options.doc ?? '',
    allowed: parts.allowed,
    default: parts.default,
    unit: parts.unit ?? '',
    isSecret: parts.isSecret ?? false,
    isRequired: parts.isRequired ?? (parts.default === undefined && parts.whenUnset === undefined),
    parse(text, all) {
      if (text !== undefined && text !== '') return parts.read(text, all);
      if (parts.whenUnset) return parts.whenUnset(all);
      if (parts.default === undefined) throw new MissingValue('is not set');
      return parts.read(parts.default, all);
    },
  };
}
