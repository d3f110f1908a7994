import { mkdir, writeFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { FenceNotConfirmed } from '../../errors.ts';
import { amphoraProcesses } from './amphora-processes.ts';
import { killCgroup } from './cgroup.ts';
import type { InstancePaths, Layout } from './options.ts';
import { signalProcess } from './process-table.ts';

/** Looks without a find before the amphora counts as gone: one look may miss a child that is born behind it. */
const CLEAN_LOOKS = 2;
/** Between two looks. Milliseconds. */
const LOOK_EVERY_MS = 10;

export interface FenceRequest {
  readonly layout: Layout;
  readonly paths: InstancePaths;
  readonly hostId: string;
  readonly amphoraId: string;
  readonly computeId: string;
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
}

/**
 * Kills every process of an amphora and returns once none is left. The mark comes first: whatever starts the agent later sees it and
 * ends, and whatever started before is found and killed. @throws FenceNotConfirmed
 */
export async function fenceAmphora(request: FenceRequest): Promise<void> {
  const { layout, paths, hostId, amphoraId, computeId, timeoutMs, signal } = request;
  await mkdir(layout.marks, { recursive: true, mode: 0o700 });
  await writeFile(paths.mark, `${new Date().toISOString()}\n`, { mode: 0o600 });

  const deadline = performance.now() + timeoutMs;
  let cleanLooks = 0;
  let problem = '';
  while (cleanLooks < CLEAN_LOOKS) {
    signal?.throwIfAborted();
    const left = await amphoraProcesses(hostId, amphoraId, paths);
    cleanLooks = left.length === 0 ? cleanLooks + 1 : 0;
    if (left.length > 0 && performance.now() > deadline) {
      throw new FenceNotConfirmed(computeId, `processes ${left.map(({ pid }) => pid).join(', ')} still run${problem}`);
    }
    if (left.length > 0) problem = killAll(hostId, amphoraId, left);
    if (cleanLooks < CLEAN_LOOKS) await delay(LOOK_EVERY_MS);
  }
}

/** Returns what went wrong, as the end of a sentence. */
function killAll(hostId: string, amphoraId: string, processes: readonly { pid: number; startTime: string }[]): string {
  let problem = '';
  try {
    killCgroup(hostId, amphoraId);
  } catch (error) {
    problem = ` (${(error as Error).message})`;
  }
  for (const identity of processes) {
    try {
      signalProcess(identity, 'SIGKILL');
    } catch (error) {
      problem = ` (${(error as Error).message})`; // Such as EPERM: the others are killed all the same.
    }
  }
  return problem;
}
