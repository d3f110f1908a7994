import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

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
  for (const folder of candidates(hostId, amphoraId)) {
    for (const group of withThoseBelow(folder)) {
      for (const line of readLines(join(group, 'cgroup.procs'))) pids.add(Number(line));
    }
  }
  return pids;
}

/** Kills all in the group and below it at once, children that are being born included, where the kernel can do that. */
export function killCgroup(hostId: string, amphoraId: string): void {
  for (const folder of candidates(hostId, amphoraId)) {
    const file = join(folder, 'cgroup.kill');
    if (existsSync(file)) writeFileSync(file, '1');
  }
}

/** Every group of an amphora of this host, by path. */
export function cgroupFolders(hostId: string): readonly { readonly path: string; readonly amphoraId: string }[] {
  return ROOTS.flatMap((root) => {
    const folder = join(root, 'octavia', hostId);
    return foldersIn(folder).map((name) => ({ path: join(folder, name), amphoraId: name }));
  });
}

/** Removes the empty group with all below it, and that of the host when it was the last. */
export function removeCgroup(hostId: string, amphoraId: string): void {
  for (const folder of candidates(hostId, amphoraId)) {
    for (const path of [...withThoseBelow(folder).reverse(), dirname(folder), dirname(dirname(folder))]) {
      try {
        rmdirSync(path);
      } catch {
        // Absent, or in use by others.
      }
    }
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
