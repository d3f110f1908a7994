import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

/** The group in which an agent begins, below that of its amphora. The local compute driver makes it. */
const AGENT_GROUP = 'agent';
/** Processor time in proportion to the others: the kernel's default. Source: cgroups(7) of version 2. */
const WEIGHT = '100';
/** A group can be removed once its processes are gone for good, which takes the kernel a moment after their end. */
const REMOVE_TRIES = 20;
const REMOVE_EVERY_MS = 5;

/**
 * The control groups of this amphora: one for the agent, and beside it one for HAProxy of each load balancer, with equal shares of what the
 * amphora may use. So one that takes all that it can get leaves the others, and the heartbeats, theirs. Where nobody gave the agent a group,
 * or it may not make more, there are none, and HAProxy is where the agent is.
 */
export class ControlGroups {
  readonly #folders: readonly string[];

  /** @param root where the hierarchies are mounted @param membership content of /proc/self/cgroup */
  constructor(amphoraId: string, root = '/sys/fs/cgroup', membership = readText('/proc/self/cgroup')) {
    this.#folders = amphoraFolders(amphoraId, root, membership);
  }

  /** Makes the load balancer's groups. Returns the files that take the pid of its HAProxy; none: there are no groups. */
  make(loadBalancerId: string): readonly string[] {
    return this.#folders.flatMap((folder) => {
      const group = join(folder, loadBalancerId);
      try {
        mkdirSync(group, { recursive: true });
      } catch {
        return []; // Such as a plain user's agent: it is served all the same.
      }
      writeIfThere(join(group, 'cpu.weight'), WEIGHT);
      protectMemory(folder);
      return [join(group, 'cgroup.procs')];
    });
  }

  /** Removes the load balancer's groups, whose processes have ended. What cannot be removed goes with the amphora. */
  async remove(loadBalancerId: string): Promise<void> {
    for (const folder of this.#folders) {
      const group = join(folder, loadBalancerId);
      for (let left = REMOVE_TRIES; existsSync(group) && !isRemoved(group) && left > 0; left--)
        await delay(REMOVE_EVERY_MS);
      protectMemory(folder);
    }
  }
}

/** Groups of the amphora: those whose group `agent` this process is in, in each hierarchy. */
function amphoraFolders(amphoraId: string, root: string, membership: string): readonly string[] {
  return membership.split('\n').flatMap((line) => {
    // <number>:<controllers of version 1>:<path>
    const [, controllers = '', path = ''] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    if (!path.endsWith(`/${amphoraId}/${AGENT_GROUP}`)) return [];
    const mounts = controllers === '' ? ['', 'unified'] : controllers.split(',');
    const folders = mounts.map((mount) => join(root, mount, path, '..'));
    return folders.filter((folder) => existsSync(join(folder, AGENT_GROUP))).slice(0, 1);
  });
}

/**
 * What a group uses within its share is taken last when memory runs short in the amphora. Version 2 only: elsewhere there is no such file.
 * Who uses most is killed when nothing helps, as everywhere.
 */
function protectMemory(folder: string): void {
  const limit = Number(readText(join(folder, 'memory.max')));
  if (!(limit > 0)) return; // Also `max`: no limit.
  const groups = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  const share = String(Math.floor(limit / groups.length));
  for (const { name } of groups) writeIfThere(join(folder, name, 'memory.low'), share);
}

function isRemoved(group: string): boolean {
  try {
    rmdirSync(group);
    return true;
  } catch {
    return false;
  }
}

function writeIfThere(path: string, value: string): void {
  if (!existsSync(path)) return;
  try {
    writeFileSync(path, value);
  } catch {
    // A share that cannot be set is the kernel's default.
  }
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
