import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, utimesSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { cgroupFolders, killCgroup, makeCgroup, removeCgroup } from '../src/compute/local/cgroup.ts';
import { startLocalCompute } from './local-compute-world.ts';
import { until } from './until.ts';

/** Whether this machine lets us make control groups. */
function mayMakeGroups(): boolean {
  const [hostId, amphoraId] = [randomUUID(), randomUUID()];
  const isMade = makeCgroup(hostId, amphoraId) !== null;
  removeCgroup(hostId, amphoraId);
  return isMade;
}

/** As if it had been made long ago. */
function age(path: string): void {
  for (const one of [path, dirname(path)]) utimesSync(one, 0, 0);
}

/** What a driver does the first time. */
async function buildElsewhere(): Promise<void> {
  const world = await startLocalCompute();
  onTestFinished(world.stop);
  await world.driver.build({ amphoraId: randomUUID() });
}

describe.runIf(mayMakeGroups())('control groups of amphorae, where the machine lets us make any,', () => {
  it('that went with their data folder are removed by the next build of any host, with all below them', async () => {
    const world = await startLocalCompute();
    onTestFinished(world.stop);
    const computeId = await world.driver.build({ amphoraId: randomUUID() });
    await world.started(computeId);
    const hostId = await world.driver.hostId();
    const [group] = cgroupFolders(hostId);
    if (!group) throw new Error('There is no group.');
    mkdirSync(join(group.path, 'lb'));
    killCgroup(hostId, group.amphoraId);
    for (const pid of await world.alive(computeId)) process.kill(pid, 'SIGKILL');
    await until('its processes are gone', async () => (await world.alive(computeId)).length === 0);
    await rm(world.root, { recursive: true });

    await buildElsewhere();
    expect(existsSync(group.path)).toBe(true); // Young: somebody may be about to start an agent in it.
    age(group.path);
    await buildElsewhere();
    expect(cgroupFolders(hostId)).toEqual([]);
    expect(existsSync(dirname(group.path))).toBe(false);
  });

  it('stay while a process is in them, however old they are', async () => {
    const world = await startLocalCompute();
    onTestFinished(world.stop);
    const computeId = await world.driver.build({ amphoraId: randomUUID() });
    await world.started(computeId);
    const [group] = cgroupFolders(await world.driver.hostId());
    if (!group) throw new Error('There is no group.');
    age(group.path);
    await buildElsewhere();
    expect(existsSync(group.path)).toBe(true);
  });
});
