/** Checks and quoting of everything that reaches a file. Stored text is foreign: an older controller may have let it in. */
import { isIP } from 'node:net';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
/** C0 and C1 control characters and DEL: none may reach a file. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are the ones that are looked for.
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/;

export function isUuid(text: string): boolean {
  return UUID.test(text);
}

/** True for an IPv4 or IPv6 address without a zone: HAProxy takes it as it stands. */
export function isAddress(text: string): boolean {
  return isIP(text) !== 0 && !text.includes('%');
}

export function isIntegerBetween(value: number, first: number, last: number): boolean {
  return Number.isInteger(value) && value >= first && value <= last;
}

export function hasControlCharacter(text: string): boolean {
  return CONTROL.test(text);
}

/** True for an absolute path of printable ASCII. */
export function isPath(text: string): boolean {
  return /^\/[\x21-\x7e]*$/.test(text);
}

/**
 * One word as HAProxy reads it back. The agent deletes every match of `\s+group\s.+` before it saves a file, so that a
 * word that is exactly `group` gets a backslash before it, which HAProxy drops.
 */
export function quote(word: string): string {
  if (word === 'group') return '\\group';
  return word.replace(/[\\ #'"]/g, '\\$&');
}

/** Lines of one section. Refuses what would end a line early: no check before it may fail silently. */
export class Section {
  readonly #lines: string[];

  constructor(head: string) {
    this.#lines = [];
    this.#push(head);
  }

  /** Adds a directive made of words; empty ones are dropped, so that an optional word may be ''. */
  add(...words: readonly (string | number)[]): this {
    this.#push(`    ${words.filter((word) => word !== '').join(' ')}`);
    return this;
  }

  text(): string {
    return `${this.#lines.join('\n')}\n`;
  }

  #push(line: string): void {
    if (hasControlCharacter(line)) throw new Error('A control character was about to be written into a configuration.');
    this.#lines.push(line);
  }
}
