/** Tells people what happens and what was seen, on plain lines that need no colour. */
export class Narrator {
  readonly #write: (text: string) => void;
  readonly #isBold: boolean;
  #act = 0;

  constructor(write: (text: string) => void, isBold: boolean) {
    this.#write = write;
    this.#isBold = isBold;
  }

  /** What happens next. */
  act(title: string): void {
    this.#act++;
    this.title(`${this.#act}  ${title}`);
  }

  title(text: string): void {
    this.#write(`\n${this.#isBold ? `\u001b[1m${text}\u001b[0m` : text}\n`);
  }

  /** What was seen. */
  saw(what: string, text: string): void {
    this.#write(`   ${what.padEnd(16)}  ${text}\n`);
  }

  line(text: string): void {
    this.#write(`${text}\n`);
  }
}

/** Milliseconds for people: `840 ms`, `4.13 s`. */
export function inWords(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(2)} s`;
}

/** One, or more of something: `1 spare`, `2 spares`. */
export function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}
