import { readJson, replaceFile } from '../files.ts';

/** Counters of a listener since its worker started, as HAProxy tells them. */
export interface Totals {
  readonly tx: number;
  readonly rx: number;
  readonly totconns: number;
  readonly ereq: number;
}

/** Beyond so many remembered listeners, those that are not reported any more are forgotten. */
const MAX_LISTENERS = 10_000;

type Memory = Readonly<Record<string, Totals & { readonly worker: number }>>;

/**
 * Turns totals into differences from heartbeat to heartbeat. The memory is a file, so that an agent that starts again does not send old
 * traffic a second time.
 */
export class Counters {
  readonly #file: string;
  #last: Memory;
  #saved = '';

  constructor(file: string) {
    this.#file = file;
    const found = readJson(file);
    this.#last = typeof found === 'object' && found !== null && !Array.isArray(found) ? (found as Memory) : {};
  }

  /**
   * What came since the last call. After a reload or a restart HAProxy counts from zero: then a total is the difference. A listener that
   * is missing in `totals` is remembered: its HAProxy may only have been too busy to answer.
   * @param totals by listener id, with the pid of the worker that counted
   */
  advance(totals: Memory): Record<string, Totals> {
    const deltas = Object.fromEntries(
      Object.entries(totals).map(([id, now]) => {
        const last = this.#last[id];
        const before = last?.worker === now.worker ? last : undefined;
        return [id, deltaOf(now, before)] as const;
      }),
    );
    const all = { ...this.#last, ...totals };
    this.#last = Object.keys(all).length > MAX_LISTENERS ? totals : all;
    return deltas;
  }

  /** Writes the memory down, if it has changed. */
  save(): void {
    const content = JSON.stringify(this.#last);
    if (content === this.#saved) return;
    replaceFile(this.#file, content);
    this.#saved = content;
  }
}

function deltaOf(now: Totals, before: Totals | undefined): Totals {
  const delta = (name: keyof Totals): number => {
    const difference = now[name] - (Number(before?.[name]) || 0);
    return difference < 0 ? now[name] : difference;
  };
  return { tx: delta('tx'), rx: delta('rx'), totconns: delta('totconns'), ereq: delta('ereq') };
}
