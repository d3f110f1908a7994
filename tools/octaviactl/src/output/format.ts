/** Writes results: tables for people, JSON and YAML for programs, bare values for shell scripts. */
import { usageError } from '../errors.ts';
import type { GlobalOptions } from '../globals.ts';
import { coloured } from './colour.ts';
import { table } from './table.ts';

/** What a column can hold; everything survives JSON. */
export type Cell = string | number | boolean | null | readonly Cell[] | { readonly [key: string]: Cell };
/** An object as it is shown: its columns in order. */
export type View = Readonly<Record<string, Cell>>;

type Choice = Pick<GlobalOptions, 'format' | 'column'>;

/** @throws CliError USAGE when a chosen column does not exist */
export async function formatObject(view: View, { format, column }: Choice): Promise<string> {
  const names = Object.keys(view);
  const columns = choose(column, names, names);
  switch (format) {
    case 'json':
      return json(pick(view, columns));
    case 'yaml':
      return yaml(pick(view, columns));
    case 'value':
      return columns.map((name) => `${plain(view[name])}\n`).join('');
    case 'table':
      return table(
        ['Field', 'Value'],
        columns.map((name) => [name, coloured(name, lines(view[name]))]),
      );
  }
}

/**
 * @param columns shown unless the person chose others
 * @param known all that may be chosen
 * @throws CliError USAGE when a chosen column does not exist
 */
export async function formatList(
  views: readonly View[],
  columns: readonly string[],
  known: readonly string[],
  { format, column }: Choice,
): Promise<string> {
  const chosen = choose(column, columns, known);
  switch (format) {
    case 'json':
      return json(views.map((view) => pick(view, chosen)));
    case 'yaml':
      return yaml(views.map((view) => pick(view, chosen)));
    case 'value':
      return views.map((view) => `${chosen.map((name) => plain(view[name])).join(' ')}\n`).join('');
    case 'table':
      return table(
        chosen,
        views.map((view) => chosen.map((name) => coloured(name, lines(view[name])))),
      );
  }
}

/** JSON as programs and people like it: indented, with a line end. */
export function json(value: Cell): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

async function yaml(value: Cell): Promise<string> {
  const { stringify } = await import('./yaml.ts');
  return stringify(value);
}

function choose(asked: readonly string[] | undefined, columns: readonly string[], known: readonly string[]): string[] {
  if (!asked) return [...columns];
  return asked.map((name) => {
    const wanted = name.toLowerCase().replaceAll(/[\s-]/g, '_');
    const column = known.find((candidate) => candidate === wanted);
    if (column) return column;
    throw usageError(`There is no column ${name}.`, `Columns are: ${known.join(', ')}.`);
  });
}

function pick(view: View, columns: readonly string[]): View {
  return Object.fromEntries(columns.map((name) => [name, view[name] ?? null]));
}

/** One line, for scripts. */
function plain(cell: Cell | undefined): string {
  if (cell === null || cell === undefined) return 'None';
  if (Array.isArray(cell)) return cell.map((item) => (isScalar(item) ? plain(item) : JSON.stringify(item))).join(',');
  return typeof cell === 'object' ? JSON.stringify(cell) : String(cell);
}

/** Control characters: names are free text, and must not drive somebody's terminal. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what it is about.
const CONTROL = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/g;

/** The text without what would drive a terminal; line ends stay. */
export function printable(text: string): string {
  return text.replace(CONTROL, '?');
}

/** Several lines where there are several values, for people. */
function lines(cell: Cell | undefined): string {
  return printable(severalLines(cell));
}

function severalLines(cell: Cell | undefined): string {
  if (cell === null || cell === undefined) return 'None';
  if (Array.isArray(cell)) return cell.map((item) => (isScalar(item) ? plain(item) : JSON.stringify(item))).join('\n');
  if (typeof cell !== 'object') return String(cell);
  return Object.entries(cell)
    .map(([key, value]) => `${key}=${plain(value)}`)
    .join('\n');
}

function isScalar(cell: Cell): boolean {
  return typeof cell !== 'object' || cell === null;
}
