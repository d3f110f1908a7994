import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** Where a control group per amphora may be made, best first: version 2 can kill a group at once. Source: cgroups(7). */
const ROOTS = ['', 'unified', 'pids', 'freezer', 'cpu', 'memory'].map((name) => join('/sys/fs/cgroup', name));

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
      mkdirSync(folder, { recursive: true });
      return join(folder, 'cgroup.procs');
    } catch {
      // A plain user, or a read-only mount. Sessions, environment and command lines tell processes then.
    }
  }
  return null;
}

/** Pids in the amphora's control group. */
export function cgroupPids(hostId: string, amphoraId: string): ReadonlySet<number> {
  const pids = new Set<number>();
  for (const folder of candidates(hostId, amphoraId)) {
    for (const line of readLines(join(folder, 'cgroup.procs'))) pids.add(Number(line));
  }
  return pids;
}

/** Kills all in the group at once, children that are being born included, where the kernel can do that. */
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
    try {
      const found = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory());
      return found.map(({ name }) => ({ path: join(folder, name), amphoraId: name }));
    } catch {
      return [];
    }
  });
}

/** Removes the empty group, and that of the host when it was the last. */
export function removeCgroup(hostId: string, amphoraId: string): void {
  for (const folder of candidates(hostId, amphoraId)) {
    for (const path of [folder, dirname(folder), dirname(dirname(folder))]) {
      try {
        rmdirSync(path);
      } catch {
        // Absent, or in use by others.
      }
    }
  }
}

function readLines(path: string): string[] {
  try {
    return readFileSync(path, 'utf8').split('\n').filter(Boolean);
  } catch {
    return [];
  }
}
