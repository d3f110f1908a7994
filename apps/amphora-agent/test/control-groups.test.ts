import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { findProcesses } from '../src/processes.ts';
import { guestsOf } from './world/guests.ts';
import { get } from './world/http.ts';
import { createWorld, eventually, type World } from './world/world.ts';

const HOST = `/octavia/agent-test-${process.pid}`;

/** Where groups can be made here: mount points of hierarchies. */
const mounts = ['', 'unified', 'cpu', 'memory', 'pids']
  .map((name) => join('/sys/fs/cgroup', name))
  .filter((mount) => {
    if (!existsSync(join(mount, 'cgroup.procs'))) return false;
    try {
      mkdirSync(join(mount, HOST), { recursive: true });
      return true;
    } catch {
      return false;
    }
  });

const open: World[] = [];
afterEach(async () => {
  for (const w of open.splice(0)) {
    await w.close();
    for (const folder of mounts.map((mount) => join(mount, HOST, w.amphoraId))) await removeAll(folder);
  }
});

async function removeAll(folder: string): Promise<void> {
  const below = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  for (const path of [...below.map(({ name }) => join(folder, name)), folder]) {
    await eventually(`${path} is removed`, () => isRemoved(path)); // Its processes may be on their way out.
  }
  isRemoved(join(folder, '..'));
}

function isRemoved(path: string): boolean {
  try {
    rmdirSync(path);
    return true;
  } catch {
    return false;
  }
}

describe.skipIf(mounts.length === 0)('an agent in a control group of its amphora', () => {
  it('gives HAProxy of each load balancer a group of its own, with all its workers, and takes it away', async () => {
    const w = await createWorld({
      groups: (amphoraId) =>
        mounts.map((mount) => {
          const folder = join(mount, HOST, amphoraId, 'agent');
          mkdirSync(folder, { recursive: true });
          return join(folder, 'cgroup.procs');
        }),
    });
    open.push(w);
    await w.start();
    const [a, b] = guestsOf(w, 'a', 'b');
    const groupsOf = (pid: number) =>
      readFileSync(`/proc/${pid}/cgroup`, 'utf8')
        .split('\n')
        .flatMap((line) => /agent-test-\d+\/[0-9a-f-]+\/(.*)$/.exec(line)?.[1] ?? []);
    await a.serve();
    await b.serve();
    await a.serve({ more: '# reloaded\n' });
    for (const guest of [a, b]) {
      const found = findProcesses((words) => words.includes('-W') && words.includes(guest.file));
      expect(found.length).toBeGreaterThan(1);
      for (const { pid } of found) expect(groupsOf(pid)).toEqual(mounts.map(() => guest.lb));
      expect(found[0]?.startTime).toBe(guest.master().startTime);
    }
    expect(groupsOf(w.processes().agent.pid)).toEqual(mounts.map(() => 'agent'));
    expect(await w.call('DELETE', `/1.0/listeners/${a.lb}`)).toMatchObject({ status: 200 });
    for (const mount of mounts) expect(existsSync(join(mount, HOST, w.amphoraId, a.lb))).toBe(false);
    expect(await get(b.vip, 8080)).toBe('b');
  });
});
