import { readdir, readlink, rm, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Leftover } from '../../leftover.ts';
import { kernelHoldings, socketFolders } from '../../namespaces/holdings.ts';
import type { NamespacePlan } from '../../namespaces/plan.ts';
import type { VipAddresses } from '../../network/local/vip-addresses.ts';
import { isUuid } from '../build-request.ts';
import { cgroupFolders } from './cgroup.ts';
import { readRecord } from './instance-record.ts';
import { type Layout, pathsOf } from './options.ts';
import { eachProcess, environmentOf } from './process-table.ts';
import { AMPHORA_VARIABLE } from './spawn-agent.ts';

/** Of which local compute host. */
export interface Host {
  readonly layout: Layout;
  readonly hostId: string;
  /** Absent in loopback mode. */
  readonly namespaces?: NamespacePlan | undefined;
  /** Addresses that amphorae have beside their management address. */
  readonly ownAddresses: VipAddresses;
}

type Finder = (host: Host) => Promise<Leftover[]>;

/** Every kind of thing that a local amphora has on the machine. The first part of it that is made is its record. */
const FINDERS: readonly Finder[] = [sockets, instances, leases, ownAddresses, processes, cgroups, kernel];

/** Everything of amphorae on this machine, whether or not it is whole. Sockets come first: see there. */
export async function localLeftovers(host: Host): Promise<Leftover[]> {
  const found: Leftover[] = [];
  for (const find of FINDERS) found.push(...(await find(host)));
  return found;
}

/** Removes what belongs to no amphora that could be told. */
export async function removeNameless(leftover: Leftover, { layout }: Pick<Host, 'layout'>): Promise<void> {
  const isFolder = leftover.kind === 'sockets' && /^[0-9a-f]{12}$/.test(leftover.name);
  if (isFolder) await rm(join(layout.runtimeFolder, leftover.name), { recursive: true, force: true });
}

/**
 * Folders of sockets whose amphora has no folder. Their names are the end of an id, so nobody can tell whose they were; but the record of
 * an amphora is written before its sockets' folder is made, and none is built twice.
 */
async function sockets({ layout }: Host): Promise<Leftover[]> {
  const folders = await socketFolders(layout.runtimeFolder);
  const ends = new Set((await amphoraFolders(layout)).map((id) => id.slice(-12)));
  const nameless = folders.filter((path) => !ends.has(basename(path)));
  return Promise.all(nameless.map(async (path) => of('sockets', basename(path), null, await ageOf(path))));
}

async function instances({ layout, hostId }: Host): Promise<Leftover[]> {
  const found: Leftover[] = [];
  for (const amphoraId of await amphoraFolders(layout)) {
    const paths = pathsOf(layout, amphoraId);
    const record = await readRecord(paths.record);
    if (record && record.hostId !== hostId) continue;
    const age = await ageOf(paths.folder);
    found.push(
      record ? of('instance', `${hostId}:${amphoraId}`, amphoraId, age) : of('files', paths.folder, amphoraId, age),
    );
  }
  return found;
}

async function leases({ layout }: Host): Promise<Leftover[]> {
  const addresses = await readdir(layout.leases).catch(() => []);
  const owners = await Promise.all(addresses.map((one) => readlink(join(layout.leases, one)).catch(() => null)));
  return addresses.flatMap((address, index) => {
    const owner = owners[index];
    return owner ? [of('address', address, owner)] : [];
  });
}

async function ownAddresses(host: Host): Promise<Leftover[]> {
  return (await host.ownAddresses.all()).map(({ address, owner }) => of('own_address', address, owner));
}

/** Processes that inherited the folder of an amphora of ours, one entry for each amphora. */
async function processes({ layout }: Host): Promise<Leftover[]> {
  const pids = new Map<string, number[]>();
  await eachProcess(({ pid }) => {
    const folder = environmentOf(pid, AMPHORA_VARIABLE);
    if (!folder?.startsWith(`${layout.amphorae}/`)) return;
    const amphoraId = basename(folder);
    if (isUuid(amphoraId)) pids.set(amphoraId, [...(pids.get(amphoraId) ?? []), pid]);
  });
  return [...pids].map(([amphoraId, all]) => of('processes', all.join(' '), amphoraId));
}

async function cgroups({ hostId }: Host): Promise<Leftover[]> {
  return cgroupFolders(hostId).map(({ path, amphoraId }) => of('cgroup', path, amphoraId));
}

/** Namespaces and interfaces of amphorae. Bridges are the installation's, and people attach clients of their own. */
async function kernel({ namespaces, hostId }: Host): Promise<Leftover[]> {
  if (!namespaces) return [];
  const holdings = await kernelHoldings(namespaces.prefix, hostId);
  return [
    ...holdings.namespaces.flatMap(({ name, amphoraId }) =>
      isUuid(amphoraId) ? [of('namespace', name, amphoraId)] : [],
    ),
    ...holdings.links.flatMap(({ name, amphoraId }) => (isUuid(amphoraId ?? '') ? [of('link', name, amphoraId)] : [])),
  ];
}

async function amphoraFolders(layout: Layout): Promise<string[]> {
  return (await readdir(layout.amphorae).catch(() => [])).filter(isUuid);
}

async function ageOf(path: string): Promise<number | null> {
  const found = await stat(path).catch(() => null);
  return found ? Math.max(0, Date.now() - found.birthtimeMs) : null;
}

function of(kind: string, name: string, amphoraId: string | null, ageMs: number | null = null): Leftover {
  return { kind, name, amphoraId, loadBalancerId: null, ageMs };
}
