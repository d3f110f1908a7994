import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';

/** Where a control group per amphora may be made, best first: version 2 can kill a group at once. Source: cgroups(7). */
const ROOTS = ['', 'unified', 'pids', 'freezer', 'cpu', 'memory'].map((name) => join('/sys/fs/cgroup', name));

/**
 * The group below the amphora's in which its agent begins. HAProxy of each load balancer gets one beside it, by the agent: processes are in
 * leaves only, as version 2 wants it where controllers are handed down. Our agent knows the name, and finds its own group by it.
 */
const AGENT_GROUP = 'agent';

/** Below the amphora's group; it has one level of groups, and nobody has a reason for more. */
const MAX_DEPTH = 4;

/** The group of the agent in that of its amphora. Made if it is not there. @throws what the system says */
export function makeAgentGroup(amphoraGroup: string): string {
  const folder = join(amphoraGroup, AGENT_GROUP);
  mkdirSync(folder, { recursive: true });
  return join(folder, 'cgroup.procs');
}

/** The amphora's group below a root. */
export function cgroupFolder(hostId: string, amphoraId: string): string {
  return join('octavia', hostId, amphoraId);
}

/** Paths that an amphora's control group may have; which of them exists depends on the machine and on who we are. */
function candidates(hostId: string, amphoraId: string): string[] {
  return ROOTS.filter((root) => existsSync(join(root, 'cgroup.procs'))).map((root) =>
    join(root, cgroupFolder(hostId, amphoraId)),
  );
}

/** Makes the amphora's control group where we may. Returns the file that takes pids, or null: the machine does not let us. */
export function makeCgroup(hostId: string, amphoraId: string): string | null {
  for (const folder of candidates(hostId, amphoraId)) {
    try {
      return makeAgentGroup(folder);
    } catch {
      // A plain user, or a read-only mount. Sessions, environment and command lines tell processes then.
    }
  }
  return null;
}

/** Pids in the amphora's control group, and in the groups below it. */
export function cgroupPids(hostId: string, amphoraId: string): ReadonlySet<number> {
  const pids = new Set<number>();
  for (const folder of candidates(hostId, amphoraId)) for (const pid of pidsIn(folder)) pids.add(pid);
  return pids;
}

function pidsIn(folder: string): number[] {
  return withThoseBelow(folder).flatMap((group) => readLines(join(group, 'cgroup.procs')).map(Number));
}

/** Kills all in the group and below it at once, children that are being born included, where the kernel can do that. */
export function killCgroup(hostId: string, amphoraId: string): void {
  for (const folder of candidates(hostId, amphoraId)) {
    const file = join(folder, 'cgroup.kill');
    if (existsSync(file)) writeFileSync(file, '1');
  }
}

export interface AmphoraGroup {
  readonly path: string;
  readonly amphoraId: string;
}

/** Every group of an amphora of this host, by path. */
export function cgroupFolders(hostId: string): readonly AmphoraGroup[] {
  return ROOTS.flatMap((root) => groupsIn(join(root, 'octavia', hostId)));
}

function groupsIn(hostGroup: string): AmphoraGroup[] {
  return foldersIn(hostGroup).map((name) => ({ path: join(hostGroup, name), amphoraId: name }));
}

/**
 * Removes the groups of amphorae, of any host, in which nothing has run for long: those of installations and tests whose data folder went
 * without `delete`. Nobody else knows of them; and nobody misses one that is empty, as its processes are dead and no others come.
 */
export async function sweepCgroups(): Promise<void> {
  for (const root of ROOTS) {
    const hosts = foldersIn(join(root, 'octavia')).map((name) => join(root, 'octavia', name));
    for (const host of hosts) {
      let isLeft = isOld(host);
      for (const { path } of groupsIn(host)) {
        const isDead = isOld(path) && pidsIn(path).length === 0;
        if (isDead) removeGroups(withThoseBelow(path).reverse());
        isLeft ||= isDead;
        await nextTurn();
      }
      if (isLeft) removeGroups([host, dirname(host)]);
    }
  }
}

/** So long may a build take from making a group to starting the agent in it. */
const MAY_BE_EMPTY_MS = 10 * 60 * 1000;

function isOld(path: string): boolean {
  try {
    return Date.now() - statSync(path).mtimeMs > MAY_BE_EMPTY_MS;
  } catch {
    return false; // It is gone, or nobody's business of ours.
  }
}

/** Those that can be: absent ones, and those in use by others, stay. */
function removeGroups(paths: readonly string[]): void {
  for (const path of paths) {
    try {
      rmdirSync(path);
    } catch {
      // See above.
    }
  }
}

/** Removes the empty group with all below it, and that of the host when it was the last. */
export function removeCgroup(hostId: string, amphoraId: string): void {
  for (const folder of candidates(hostId, amphoraId)) {
    removeGroups([...withThoseBelow(folder).reverse(), dirname(folder), dirname(dirname(folder))]);
  }
}

/** A group and every group below it, each before those below. */
function withThoseBelow(folder: string, depth = 0): string[] {
  if (depth === MAX_DEPTH) return [folder];
  return [folder, ...foldersIn(folder).flatMap((name) => withThoseBelow(join(folder, name), depth + 1))];
}

function foldersIn(path: string): string[] {
  try {
    const found = readdirSync(path, { withFileTypes: true });
    return found.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  } catch {
    return [];
  }
}

function readLines(path: string): string[] {
  try {
    return readFileSync(path, 'utf8').split('\n').filter(Boolean);
  } catch {
    return [];
  }
}
