/** What a benchmark is, and what it says. */

/** One thing that was measured. */
export interface Figure {
  /** What it is, for a person. */
  readonly what: string;
  readonly unit: 'ms' | 's' | '/s' | 'MiB' | '%' | '';
  /** Of a distribution: the values at its percentiles. */
  readonly values: Readonly<Record<string, number>>;
  /** How often it was measured. */
  readonly count: number;
  /** What is wanted: which of the values, and its bound. */
  readonly goal?: Goal;
  /** The same of something simpler, taken in the same run. */
  readonly baseline?: { readonly what: string; readonly value: number };
}

export interface Goal {
  readonly of: string;
  readonly below?: number;
  readonly above?: number;
}

export interface Benchmark {
  readonly name: string;
  readonly what: string;
  /** It takes so long that it is run only when it is asked for by name. */
  readonly isLong?: boolean;
  /** Ends by itself, bounded in time, and leaves nothing behind; `signal` ends it early. `times`: how often, where that can be chosen. */
  run(signal: AbortSignal, times?: number): Promise<Figure[]>;
}

/** Value at quantile `q` (0 to 1) by the nearest rank: a value that was measured. NaN without values. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)] ?? Number.NaN;
}

/** A figure of many measurements, told by percentiles such as p50, p99 and max. */
export function distribution(
  what: string,
  measured: readonly number[],
  percentiles: readonly number[],
  goal?: Goal,
): Figure {
  const values: Record<string, number> = {};
  for (const percentile of percentiles) values[`p${percentile}`] = quantile(measured, percentile / 100);
  if (percentiles.length > 0) values.max = quantile(measured, 1);
  return { what, unit: 'ms', values, count: measured.length, ...(goal ? { goal } : {}) };
}

/** Whether the goal is met; null: there is none. */
export function isMet({ goal, values }: Figure): boolean | null {
  if (!goal) return null;
  const value = values[goal.of] ?? Number.NaN;
  return (goal.below === undefined || value < goal.below) && (goal.above === undefined || value > goal.above);
}
