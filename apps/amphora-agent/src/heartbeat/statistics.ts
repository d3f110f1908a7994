import { askHaproxy } from '../haproxy/cli-socket.ts';
import { infoField } from '../haproxy/show-proc.ts';

/** One line of `show stat`, by column name. */
export type StatRow = Readonly<Record<string, string>>;

export interface Statistics {
  /** Pid of the worker that counted: another worker begins at zero. */
  readonly worker: number;
  readonly rows: readonly StatRow[];
}

/**
 * Asks HAProxy for frontends, backends and servers.
 * @throws HaproxySilent, or Error when the answer makes no sense
 */
export async function readStatistics(statsSocket: string, timeoutMs: number): Promise<Statistics> {
  // In one question, so that both answers are of the same worker.
  const answer = await askHaproxy(statsSocket, 'show info;show stat -1 7 -1', timeoutMs);
  const start = answer.indexOf('# pxname,');
  const worker = Number(infoField(answer, 'Pid'));
  if (start < 0 || !(worker > 0)) throw new Error(`HAProxy gave no statistics on ${statsSocket}`);
  return { worker, rows: parseCsv(answer.slice(start + 2)) };
}

/** Reads HAProxy's CSV: a line of column names, then values, in double quotes where they hold a comma or a quote. */
export function parseCsv(text: string): StatRow[] {
  const [header = [], ...lines] = text
    .split('\n')
    .filter((line) => line !== '')
    .map(splitLine);
  return lines.map((values) => Object.fromEntries(header.map((name, index) => [name, values[index] ?? ''])));
}

function splitLine(line: string): string[] {
  if (!line.includes('"')) return line.split(',');
  return [...line.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g)].map(
    ([, quoted, plain]) => quoted?.replaceAll('""', '"') ?? plain ?? '',
  );
}
