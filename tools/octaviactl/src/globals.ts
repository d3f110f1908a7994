/** The options that every command takes. */
import { type Command, Option } from 'commander';
import { collect } from './options.ts';

export const FORMATS = ['table', 'json', 'yaml', 'value'] as const;
/** How results are written. */
export type Format = (typeof FORMATS)[number];

/** Options that every command takes, wherever they stand on the line. */
export interface GlobalOptions {
  readonly format: Format;
  readonly column?: string[];
  readonly config?: string;
  readonly project?: string;
  readonly user?: string;
  readonly role?: string[];
}

/** Declares them. */
export function addGlobalOptions(program: Command): void {
  program
    .addOption(new Option('-f, --format <format>', 'how to write the result').choices(FORMATS).default('table'))
    .option('-c, --column <column>', 'only this column (repeatable)', collect)
    .option('--config <file>', 'connection file; else OCTAVIACTL_CONFIG, else the one of the running controller')
    .option('--project <project>', 'project to act in: owns what is created, and lists show only its objects')
    .option('--user <user>', 'user to act as')
    .option('--role <role>', 'role to act with (repeatable)', collect);
}

/**
 * The format that the line asks for, found without parsing it: needed to report a line that cannot be parsed.
 * The last one wins, as it does when parsed.
 */
export function formatOf(argv: readonly string[]): Format {
  let format: Format = 'table';
  argv.forEach((arg, index) => {
    const value = arg === '-f' || arg === '--format' ? argv[index + 1] : /^(?:-f|--format=)(.+)$/.exec(arg)?.[1];
    const known = FORMATS.find((candidate) => candidate === value);
    if (known) format = known;
  });
  return format;
}
