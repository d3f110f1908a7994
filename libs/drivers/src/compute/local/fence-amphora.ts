import { setTimeout as delay } from 'node:timers/promises';
import { FenceNotConfirmed } from '../../errors.ts';
import { unplugPairs } from '../../namespaces/amphora-network.ts';
import { amphoraNames, type NamespacePlan } from '../../namespaces/plan.ts';
import { amphoraProcesses, readClaim } from './amphora-processes.ts';
import { killCgroup } from './cgroup.ts';
import type { FenceMarks } from './fence-marks.ts';
import type { InstancePaths } from './options.ts';
import { signalProcess } from './process-table.ts';

/** Looks without a find before the amphora counts as gone: one look may miss a child that is born behind it. */
const CLEAN_LOOKS = 2;
/** Between two looks. Milliseconds. */
const LOOK_EVERY_MS = 10;

export interface FenceRequest {
  readonly marks: FenceMarks;
  readonly paths: InstancePaths;
  readonly hostId: string;
  readonly amphoraId: string;
  readonly computeId: string;
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
  /** In namespaces mode. */
  readonly namespaces: NamespacePlan | undefined;
}

/** All of an amphora's interfaces. */
const ALL_NETWORKS = ['management', 'vip'] as const;

/**
 * Kills every process of an amphora and returns once none is left. The mark comes first: whatever starts the agent later sees it and
 * ends, and whatever started before is found and killed. In namespaces mode its interfaces go too: a kernel answers ARP for an address
 * that nobody listens on any more. @throws FenceNotConfirmed
 */
export async function fenceAmphora(request: FenceRequest): Promise<void> {
  const { marks, paths, hostId, amphoraId, computeId, timeoutMs, signal, namespaces } = request;
  await marks.make(amphoraId).catch((error: unknown) => {
    // On a full disk a claimed instance is fenced all the same: nobody can claim it again, so nobody starts another agent.
    if (readClaim(paths) === null) throw error;
  });

  // At once nobody hears of it any more. What that leaves is found below, when the processes are gone at least.
  if (namespaces) await unplugPairs(namespaces, amphoraId, ALL_NETWORKS).catch(() => {});
  const names = namespaces ? amphoraNames(namespaces, amphoraId) : null;
  const deadline = performance.now() + timeoutMs;
  let cleanLooks = 0;
  let problem = '';
  while (cleanLooks < CLEAN_LOOKS) {
    signal?.throwIfAborted();
    const left = await amphoraProcesses(hostId, amphoraId, paths, names);
    cleanLooks = left.length === 0 ? cleanLooks + 1 : 0;
    if (left.length > 0 && performance.now() > deadline) {
      throw new FenceNotConfirmed(computeId, `processes ${left.map(({ pid }) => pid).join(', ')} still run${problem}`);
    }
    if (left.length > 0) problem = killAll(hostId, amphoraId, left);
    if (cleanLooks < CLEAN_LOOKS) await delay(LOOK_EVERY_MS);
  }
  // Also what a build or plug call has made meanwhile; both look for the mark when they are done.
  if (namespaces) await unplugPairs(namespaces, amphoraId, ALL_NETWORKS);
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
