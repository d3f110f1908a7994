import { readFileSync } from 'node:fs';
import { BadValue, type Field, MissingValue, type Variables } from './field.ts';

/** Settings as a tree; a section that several services share is a constant of its library. */
export interface Shape {
  readonly [key: string]: Field<unknown> | Shape;
}

/** The values that a shape gives. */
export type Config<S> = {
  readonly [K in keyof S]: S[K] extends Field<infer T> ? T : S[K] extends Shape ? Config<S[K]> : never;
};

/** What is wrong with one setting. */
export interface SettingFault {
  readonly name: string;
  /** What was written; undefined when nothing was, or when it is a secret. */
  readonly value?: string;
  /** What is wrong, such as `is out of range`. */
  readonly problem: string;
  readonly allowed: string;
  readonly default?: string;
}

/** Exit code of a process that was configured wrongly: EX_CONFIG of sysexits.h. */
export const CONFIGURATION_EXIT_CODE = 78;

/** The settings are wrong; names every fault at once. */
export class SettingsError extends Error {
  readonly faults: readonly SettingFault[];
  readonly exitCode = CONFIGURATION_EXIT_CODE;
  constructor(faults: readonly SettingFault[]) {
    super(
      `${faults.length === 1 ? 'A setting is' : `${faults.length} settings are`} wrong:\n${faults.map(line).join('\n')}`,
    );
    this.name = 'SettingsError';
    this.faults = faults;
  }
}

function line({ name, value, problem, allowed, default: fallback }: SettingFault): string {
  const written = value === undefined ? name : `${name}=${value}`;
  return `  ${written} ${problem}. Allowed: ${allowed}. ${fallback === undefined ? 'No default' : `Default: ${fallback}`}.`;
}

/** A contradiction between settings that are each fine: which one to change, and why. */
export interface Contradiction {
  readonly name: string;
  readonly problem: string;
}

export interface SettingsReader<S extends Shape> {
  /** @throws SettingsError with every fault */
  (env: Variables): Config<S>;
  readonly shape: S;
}

/** Names the file that is read before the environment, with lines `NAME=value`. */
export const CONFIG_FILE_VARIABLE = 'OCTAVIA_CONFIG_FILE';

/**
 * Makes the function that reads typed settings from the environment, and below it from the file named by
 * OCTAVIA_CONFIG_FILE. An empty variable counts as unset. Give `rules` to refuse values that contradict each other.
 */
export function settings<const S extends Shape>(
  shape: S,
  rules: (config: Config<S>) => readonly Contradiction[] = () => [],
): SettingsReader<S> {
  const read = (env: Variables): Config<S> => {
    const faults: SettingFault[] = [];
    const all = { ...readConfigFile(env[CONFIG_FILE_VARIABLE], faults), ...withoutEmpty(env) };
    const config = readShape(shape, all, faults) as Config<S>;
    if (faults.length === 0) faults.push(...contradictions(shape, all, rules(config)));
    if (faults.length > 0) throw new SettingsError(withoutRepetition(faults));
    return config;
  };
  return Object.assign(read, { shape });
}

function withoutEmpty(env: Variables): Record<string, string> {
  const entries = Object.entries(env).filter((entry): entry is [string, string] => Boolean(entry[1]));
  return Object.fromEntries(entries);
}

function isField(node: Field<unknown> | Shape): node is Field<unknown> {
  return node.kind === 'field' && typeof node.parse === 'function';
}

function readShape(shape: Shape, all: Variables, faults: SettingFault[]): Record<string, unknown> {
  const config: Record<string, unknown> = {};
  for (const [key, node] of Object.entries(shape)) {
    config[key] = isField(node) ? readField(node, all, faults) : readShape(node, all, faults);
  }
  return config;
}

function readField(field: Field<unknown>, all: Variables, faults: SettingFault[]): unknown {
  try {
    return field.parse(all[field.name], all);
  } catch (error) {
    if (!(error instanceof BadValue || error instanceof MissingValue)) throw error;
    faults.push(faultOf(field, all, error.message));
    return undefined;
  }
}

function faultOf(field: Field<unknown>, all: Variables, problem: string): SettingFault {
  const { name, allowed } = field;
  const value = field.isSecret ? undefined : all[name];
  return { name, value, problem, allowed, default: field.default };
}

function contradictions(shape: Shape, all: Variables, found: readonly Contradiction[]): SettingFault[] {
  const fields = new Map(fieldsOf(shape).map((field) => [field.name, field]));
  return found.map(({ name, problem }) => {
    const field = fields.get(name);
    return field ? faultOf(field, all, problem) : { name, problem, allowed: 'see the other setting' };
  });
}

/** Two sections of one service may name the same variable, such as TLS_CERT_FILE: say it once. */
function withoutRepetition(faults: readonly SettingFault[]): SettingFault[] {
  return [...new Map(faults.map((fault) => [`${fault.name} ${fault.problem}`, fault])).values()];
}

function readConfigFile(path: string | undefined, faults: SettingFault[]): Record<string, string> {
  if (!path) return {};
  const allowed = 'the path of a readable file with lines NAME=value';
  const values: Record<string, string> = {};
  let content: string;
  try {
    content = readFileSync(path, 'utf8');
  } catch (error) {
    const reason = error instanceof Error && 'code' in error ? error.code : 'unknown error';
    faults.push({ name: CONFIG_FILE_VARIABLE, value: path, problem: `cannot be read (${reason})`, allowed });
    return values;
  }
  for (const [index, raw] of content.split(/\r?\n/).entries()) {
    const text = raw.trim();
    if (text === '' || text.startsWith('#')) continue;
    const match = /^([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)$/.exec(text);
    // The line itself may hold a secret: only its number is shown.
    const problem = match ? 'sets the same name again' : 'is not NAME=value';
    if (!match?.[1] || match[1] in values) {
      faults.push({ name: CONFIG_FILE_VARIABLE, value: path, problem: `line ${index + 1} ${problem}`, allowed });
      continue;
    }
    values[match[1]] = unquoted(match[2] ?? '');
  }
  return values;
}

function unquoted(value: string): string {
  const match = /^(["'])(.*)\1$/.exec(value);
  return match?.[2] ?? value;
}

function fieldsOf(shape: Shape): Field<unknown>[] {
  return Object.values(shape).flatMap((node) => (isField(node) ? [node] : fieldsOf(node)));
}

/** What stands for the value of a secret, wherever settings are shown. */
const HIDDEN = '[secret]';

/** The settings as they are in effect, by name, as they would be written. Secrets are only said to be set. Call it after `read`. */
export function effectiveSettings(shape: Shape, env: Variables): Record<string, string> {
  const all = { ...readConfigFile(env[CONFIG_FILE_VARIABLE], []), ...withoutEmpty(env) };
  const shown = fieldsOf(shape).map(({ name, isSecret, default: fallback }): [string, string] => {
    const written = all[name] ?? fallback ?? '';
    return [name, isSecret && written !== '' ? HIDDEN : written];
  });
  return Object.fromEntries(shown);
}

/** One option, for a reference page or a commented example file. */
export interface OptionDescription {
  readonly name: string;
  readonly doc: string;
  readonly allowed: string;
  readonly default: string | undefined;
  readonly unit: string;
  readonly isSecret: boolean;
  readonly isRequired: boolean;
}

/** Lists every option of a shape, each name once, in the order of the shape. */
export function describe(shape: Shape): OptionDescription[] {
  const byName = new Map<string, OptionDescription>();
  for (const { name, doc, allowed, default: fallback, unit, isSecret, isRequired } of fieldsOf(shape)) {
    if (!byName.has(name)) byName.set(name, { name, doc, allowed, default: fallback, unit, isSecret, isRequired });
  }
  return [...byName.values()];
}
