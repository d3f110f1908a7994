import { statSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { AmphoraNames } from './plan.ts';

/** Says of a process whether it is in the amphora's namespace; of none when there is no such namespace. */
export async function membershipOf({ namespaceFile }: AmphoraNames): Promise<(pid: number) => boolean> {
  const found = await stat(namespaceFile).catch(() => null);
  if (!found) return () => false;
  return (pid) => {
    try {
      const { dev, ino } = statSync(`/proc/${pid}/ns/net`);
      return dev === found.dev && ino === found.ino;
    } catch {
      return false; // It ended.
    }
  };
}
