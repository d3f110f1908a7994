import { rm, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { cgroupFolders, killCgroup, removeCgroup, sweepCgroups } from '../compute/local/cgroup.ts';
import { eachProcess, type ProcessStat, signalProcess } from '../compute/local/process-table.ts';
import { readIfThere } from '../files.ts';
import { removeNamespace } from './amphora-network.ts';
import { kernelHoldings, socketFolders } from './holdings.ts';
import { IpError, ipBatch } from './ip.ts';
import { NAMESPACES_FOLDER } from './plan.ts';
import { membershipOf } from './processes-in.ts';
import { isWriterAlive, type RegistryEntry, registered, unregister } from './registry.ts';

/** How long processes that were killed may take to be gone. Milliseconds; the kernel takes a few. */
const KILL_TIMEOUT_MS = 5000;
const LOOK_EVERY_MS = 10;

/** File by which a data folder tells whose networks are its own. */
export function planFile(dataFolder: string): string {
  return join(dataFolder, 'network', 'namespaces.json');
}

/**
 * Removes what dead installations left: those whose data folder is gone or is another installation's by now, and those of tests that
 * ended. Whoever lives, or may only be stopped, keeps everything but empty control groups. Returns the data folders of those that are
 * gone now.
 */
export async function sweepDeadInstallations(): Promise<readonly string[]> {
  const swept: string[] = [];
  for (const entry of await registered()) {
    if (!(await isDead(entry))) continue;
    await removeInstallation(entry);
    swept.push(entry.dataFolder);
  }
  await sweepCgroups(); // Loopback mode has them too, and no entry.
  return swept;
}

async function isDead(entry: RegistryEntry): Promise<boolean> {
  if (isWriterAlive(entry)) return false;
  if (entry.endsWithWriter) return true;
  const kept = await readIfThere(planFile(entry.dataFolder)).catch(() => null);
  return kept === null || !kept.includes(entry.installationId);
}

/**
 * Removes everything that an installation has in the kernel: processes in its namespaces, interfaces, namespaces, control groups and
 * the folders of sockets. Its data folder stays. Doing it again finds what a crash left. @throws IpError, or what the system says
 */
export async function removeInstallation(
  entry: Pick<RegistryEntry, 'prefix' | 'hostId' | 'runtimeFolder'>,
): Promise<void> {
  const { prefix, hostId, runtimeFolder } = entry;
  const { namespaces, links, cgroups } = await kernelHoldings(prefix, hostId);
  for (const { amphoraId } of cgroups) killCgroup(hostId, amphoraId);
  await ipBatch(
    links.map(({ name }) => ['link', 'delete', name]),
    { isForced: true },
  );
  for (const { name } of namespaces) {
    const names = { namespace: name, namespaceFile: join(NAMESPACES_FOLDER, name) };
    await killAllIn(names);
    await removeNamespace(names);
  }
  await removeCgroups(hostId);
  for (const folder of await socketFolders(runtimeFolder)) await rm(folder, { recursive: true, force: true });
  await rmdir(runtimeFolder).catch(() => {}); // Absent, or somebody else has something in it.
  const left = (await kernelHoldings(prefix, hostId)).links.map(({ name }) => name);
  if (left.length > 0) throw new IpError(`ip link delete ${left.join(', ')}: still there`);
  await unregister(prefix);
}

/** A group can be removed once its processes are gone for good, which takes the kernel a moment after it killed them. */
async function removeCgroups(hostId: string): Promise<void> {
  const deadline = performance.now() + KILL_TIMEOUT_MS;
  for (;;) {
    const left = cgroupFolders(hostId);
    for (const { amphoraId } of left) removeCgroup(hostId, amphoraId);
    if (left.length === 0 || performance.now() > deadline) return;
    await delay(LOOK_EVERY_MS);
  }
}

async function killAllIn(names: { namespace: string; namespaceFile: string }): Promise<void> {
  const deadline = performance.now() + KILL_TIMEOUT_MS;
  for (;;) {
    const isInside = await membershipOf(names);
    const found: ProcessStat[] = [];
    await eachProcess((process) => {
      if (isInside(process.pid)) found.push(process);
    });
    if (found.length === 0) return;
    for (const identity of found) signalProcess(identity, 'SIGKILL');
    if (performance.now() > deadline)
      throw new IpError(`ip netns delete ${names.namespace}: processes ${found.map(({ pid }) => pid)} still run`);
    await delay(LOOK_EVERY_MS);
  }
}
