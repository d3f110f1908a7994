/** Parsers and sets of options that several commands share. */
import { type Command, InvalidArgumentError, Option } from 'commander';

const INT32_MAX = 2_147_483_647;

/** Reads a whole number; its range is the server's business, but it has to fit the wire. */
export function integer(text: string): number {
  const value = Number(text);
  if (!/^[+-]?\d+$/.test(text) || Math.abs(value) > INT32_MAX) {
    throw new InvalidArgumentError('It must be a whole number.');
  }
  return value;
}

const UNIT_MS: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** Reads `500ms`, `90s`, `5m`, `1h`, or a plain number of seconds; gives milliseconds. */
export function duration(text: string): number {
  const match = /^(\d{1,6})(ms|s|m|h)?$/.exec(text);
  const unitMs = UNIT_MS[match?.[2] ?? 's'];
  if (!match?.[1] || unitMs === undefined) throw new InvalidArgumentError('It must be such as 90s, 5m or 1h.');
  return Number(match[1]) * unitMs;
}

/** Reads one of the words, in any case. */
export function choice(words: readonly string[]): (text: string) => string {
  const parse = (text: string): string => {
    const word = text.toUpperCase();
    if (!words.includes(word)) throw new InvalidArgumentError(`It must be one of ${words.join(', ')}.`);
    return word;
  };
  return Object.assign(parse, { words }); // Completion offers them.
}

/** Collects the values of an option that may be given more than once. */
export function collect(text: string, previous: string[] | undefined): string[] {
  return [...(previous ?? []), text];
}

/** Reads `a,b`; may be given more than once. */
export function collectList(text: string, previous: string[] | undefined): string[] {
  return [...(previous ?? []), ...text.split(',').filter((part) => part !== '')];
}

/** Reads `key=value,key2=value2`; may be given more than once. */
export function keyValues(text: string, previous: Record<string, string> | undefined): Record<string, string> {
  const pairs = { ...previous };
  for (const pair of text.split(',').filter((part) => part !== '')) {
    const equals = pair.indexOf('=');
    if (equals < 1) throw new InvalidArgumentError('It must be such as key=value,key2=value2.');
    pairs[pair.slice(0, equals)] = pair.slice(equals + 1);
  }
  return pairs;
}

/** `--enable` and `--disable`. */
export function withAdminState(command: Command): Command {
  return command
    .addOption(new Option('--enable', 'enable it').conflicts('disable'))
    .addOption(new Option('--disable', 'disable it').conflicts('enable'));
}

/** Options given by `withAdminState`. */
export interface AdminStateOptions {
  readonly enable?: true;
  readonly disable?: true;
}

/** What `--enable` and `--disable` say; undefined when neither was given. */
export function adminStateUp(options: AdminStateOptions): boolean | undefined {
  if (options.enable) return true;
  return options.disable ? false : undefined;
}

/** How long `--wait` waits unless told otherwise. */
const WAIT_TIMEOUT = '5m';

/** `--wait` and `--wait-timeout`. */
export function withWait(command: Command): Command {
  return command
    .option('--wait', 'wait for the change to be in place, and show its progress')
    .addOption(
      new Option('--wait-timeout <time>', 'how long to wait, such as 90s or 1h')
        .argParser(duration)
        .default(duration(WAIT_TIMEOUT), WAIT_TIMEOUT),
    );
}

/** Options given by `withWait`. */
export interface WaitOptions {
  readonly wait?: true;
  /** Milliseconds. */
  readonly waitTimeout: number;
}

/** `--tag` of commands that create. */
export function withTag(command: Command): Command {
  return command.option('--tag <tag>', 'tag to give it (repeatable)', collect);
}

/** `--tag` and `--no-tag` of `set`: the first adds, the second forgets the old ones. */
export function withTagChange(command: Command): Command {
  // Commander would read `--no-tag` as `--tag` with the value false, so that the order of the two decided.
  const noTag = new Option('--no-tag', 'remove the tags that it has; with --tag, replace them');
  noTag.negate = false;
  return command.option('--tag <tag>', 'tag to add (repeatable)', collect).addOption(noTag);
}

/** Options given by `withTagChange`. */
export interface TagChangeOptions {
  readonly tag?: string[];
  readonly noTag?: true;
}

/** `--tag` and `--all-tag` of `unset`. */
export function withTagRemoval(command: Command): Command {
  return command.option('--tag <tag>', 'tag to remove (repeatable)', collect).option('--all-tag', 'remove all tags');
}

/** Options given by `withTagRemoval`. */
export interface TagRemovalOptions {
  readonly tag?: string[];
  readonly allTag?: true;
}
