import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { makeAgentGroup } from './cgroup.ts';

/** What an amphora may use of the machine. */
export interface AmphoraLimits {
  /** Processors, also a part of one. */
  readonly cpus: number;
  readonly memoryMib: number;
  /** Processes and threads. */
  readonly pids: number;
}

const VERSION_2 = '/sys/fs/cgroup';
/** Accounting period of processor time, microseconds: the kernel's default. Source: cgroups(7). */
const PERIOD_US = 100_000;
const MIB = 1024 * 1024;

/**
 * Limits the amphora where the machine lets us: some kernels have no controllers, and some of them are kept by others. The limits are of
 * the amphora as a whole; groups below it share processors and memory as the kernel does by itself, evenly.
 * @param folder the amphora's group below a root, such as octavia/host/amphora
 * @returns files that take the agent's pid, so that the limits hold for it and for what it spawns
 */
export function limitAmphora(folder: string, limits: AmphoraLimits): readonly string[] {
  return existsSync(join(VERSION_2, 'cgroup.controllers')) ? limitV2(folder, limits) : limitV1(folder, limits);
}

function limitV2(folder: string, { cpus, memoryMib, pids }: AmphoraLimits): string[] {
  const group = join(VERSION_2, folder);
  try {
    mkdirSync(group, { recursive: true });
  } catch {
    return [];
  }
  // A group has the controllers that every group above it hands down.
  for (const above of [dirname(dirname(dirname(group))), dirname(dirname(group)), dirname(group), group]) {
    for (const controller of ['cpu', 'memory', 'pids']) handDown(above, controller);
  }
  writeIfMay(join(group, 'cpu.max'), `${Math.round(cpus * PERIOD_US)} ${PERIOD_US}`);
  writeIfMay(join(group, 'memory.max'), String(memoryMib * MIB));
  writeIfMay(join(group, 'pids.max'), String(pids));
  return agentGroupIfMay(group);
}

function handDown(group: string, controller: string): void {
  const file = join(group, 'cgroup.subtree_control');
  try {
    if (readFileSync(file, 'utf8').split(/\s+/).includes(controller)) return;
  } catch {
    return;
  }
  writeIfMay(file, `+${controller}`);
}

function limitV1(folder: string, { cpus, memoryMib, pids }: AmphoraLimits): string[] {
  const wanted = [
    ['cpu', 'cpu.cfs_quota_us', Math.round(cpus * PERIOD_US)],
    ['memory', 'memory.limit_in_bytes', memoryMib * MIB],
    ['pids', 'pids.max', pids],
  ] as const;
  return wanted.flatMap(([controller, file, value]) => {
    const group = join(VERSION_2, controller, folder);
    try {
      mkdirSync(group, { recursive: true });
    } catch {
      return [];
    }
    // Kernels before 5.11 do not count what groups below use, unless told so.
    if (controller === 'memory') writeIfMay(join(group, 'memory.use_hierarchy'), '1');
    writeIfMay(join(group, file), String(value));
    return agentGroupIfMay(group);
  });
}

function agentGroupIfMay(group: string): string[] {
  try {
    return [makeAgentGroup(group)];
  } catch {
    return [];
  }
}

function writeIfMay(path: string, value: string): void {
  try {
    writeFileSync(path, value);
  } catch {
    // The machine does not let us: an amphora without that limit is better than none.
  }
}
