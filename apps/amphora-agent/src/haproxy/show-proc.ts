/** `show proc` of a master. */
export interface ShowProc {
  /** Reloads that were tried since the master started. */
  readonly reloads: number;
  /** Of the latest ones, how many failed. */
  readonly failed: number;
  /** Workers of the newest configuration that loaded, by pid. */
  readonly workers: readonly number[];
}

/** Reads the answer of `show proc` (HAProxy 2.5 and later); null when it is none. */
export function readShowProc(answer: string): ShowProc | null {
  const master = /^\d+\s+master\s+(\d+)(?:\s+\[failed: (\d+)\])?/m.exec(answer);
  if (!master) return null;
  const [, current = ''] = /^# workers\n((?:[^#].*\n?)*)/m.exec(answer) ?? [];
  const workers = [...current.matchAll(/^(\d+)\s+worker\s/gm)].map(([, pid]) => Number(pid));
  return { reloads: Number(master[1]), failed: Number(master[2] ?? 0), workers };
}

/** A field of `show info`, such as `Pid`; null when it is not there. */
export function infoField(answer: string, name: string): string | null {
  return new RegExp(`^${name}: (.*)$`, 'm').exec(answer)?.[1] ?? null;
}
