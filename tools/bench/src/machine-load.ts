import { cpus } from 'node:os';

/** Processor time of the whole machine until now, in milliseconds. */
export interface Moment {
  readonly busyMs: number;
  readonly allMs: number;
}

export function moment(): Moment {
  let [busyMs, allMs] = [0, 0];
  for (const { times } of cpus()) {
    const all = Object.values(times).reduce((sum, time) => sum + time, 0);
    allMs += all;
    busyMs += all - times.idle;
  }
  return { busyMs, allMs };
}

/** Share of all processors' time that was used since then, by whomever: 0 to 1. */
export function busyShare(since: Moment): number {
  const now = moment();
  return (now.busyMs - since.busyMs) / Math.max(1, now.allMs - since.allMs);
}
