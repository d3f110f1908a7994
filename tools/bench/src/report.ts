import { cpus, release, totalmem } from 'node:os';
import type { Benchmark, Figure } from './measure.ts';
import { isMet } from './measure.ts';

export interface Result {
  readonly benchmark: Pick<Benchmark, 'name' | 'what'>;
  readonly figures: readonly Figure[];
  readonly seconds: number;
}

const MIB = 2 ** 20;

/** The machine in one line: without it no figure means anything. */
export function machine(): string {
  const [first] = cpus();
  const memory = Math.round(totalmem() / MIB / 1024);
  return `${cpus().length} cores (${first?.model.trim() ?? 'unknown'}), ${memory} GiB, Linux ${release()}, Node ${process.versions.node}`;
}

/** Lines for a person: each figure with its goal and whether it is met, and the baseline of the same run below it. */
export function readable({ benchmark, figures, seconds }: Result): string {
  const lines = figures.flatMap((figure) => [
    `  ${verdict(figure).padEnd(7)}${figure.what}: ${valuesOf(figure)}${goalOf(figure)}  (n=${figure.count})`,
    ...(figure.baseline
      ? [`         baseline of the same run, ${figure.baseline.what}: ${number(figure.baseline.value)} ${figure.unit}`]
      : []),
  ]);
  return [`${benchmark.name}: ${benchmark.what}, took ${seconds.toFixed(0)} s`, ...lines].join('\n');
}

/** Above the rows of `markdown`. */
export const TABLE_HEAD = '| what | measured | goal | | n | command |\n| --- | --- | --- | --- | --- | --- |';

/** Rows of the table in docs/benchmarks.md. */
export function markdown({ benchmark, figures }: Result): string {
  const command = `\`npm run bench -- ${benchmark.name}\``;
  const rows = figures.map((figure) => {
    const baseline = figure.baseline
      ? ` (${figure.baseline.what}: ${number(figure.baseline.value)} ${figure.unit})`
      : '';
    const cells = [
      figure.what,
      `${valuesOf(figure)}${baseline}`,
      goalOf(figure).replace(', goal ', ''),
      verdict(figure),
    ];
    return `| ${[...cells, figure.count, command].join(' | ')} |`;
  });
  return rows.join('\n');
}

function verdict(figure: Figure): string {
  const met = isMet(figure);
  return met === null ? '' : met ? 'OK' : 'MISSED';
}

function valuesOf({ values, unit }: Figure): string {
  const entries = Object.entries(values);
  const text = entries.map(([name, value]) => (name === 'value' ? number(value) : `${name} ${number(value)}`));
  return `${text.join(', ')} ${unit}`.trim();
}

function goalOf({ goal, unit }: Figure): string {
  if (!goal) return '';
  const bound = goal.below === undefined ? `> ${goal.above}` : `< ${goal.below}`;
  return `, goal ${goal.of === 'value' ? '' : `${goal.of} `}${bound} ${unit}`;
}

function number(value: number): string {
  if (!Number.isFinite(value)) return '-';
  return value >= 100 ? value.toFixed(0) : value.toFixed(1);
}
