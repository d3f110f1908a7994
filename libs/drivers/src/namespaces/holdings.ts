import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { cgroupFolders } from '../compute/local/cgroup.ts';
import { ipShow } from './ip.ts';
import { NAMESPACES_FOLDER } from './plan.ts';

/** What an installation has in the kernel of this machine. */
export interface KernelHoldings {
  readonly namespaces: readonly { readonly name: string; readonly amphoraId: string }[];
  /** Outer ends of amphorae's interfaces, and bridges, whose amphora is null. */
  readonly links: readonly { readonly name: string; readonly amphoraId: string | null }[];
  /** Control groups of amphorae, by path. */
  readonly cgroups: readonly { readonly path: string; readonly amphoraId: string }[];
}

/**
 * Everything in the kernel that has the installation's names, whether or not the installation knows of it.
 * @param prefix of the installation's plan @param hostId of its local compute host @throws IpError
 */
export async function kernelHoldings(prefix: string, hostId: string): Promise<KernelHoldings> {
  const files = await readdir(NAMESPACES_FOLDER).catch(() => []);
  const own = files.filter((name) => name.startsWith(`${prefix}-`));
  return {
    namespaces: own.map((name) => ({ name, amphoraId: name.slice(prefix.length + 1) })),
    links: await linksOf(prefix),
    cgroups: cgroupFolders(hostId),
  };
}

/** Addresses in a namespace, with the interfaces that have them; loopback is left out. @throws IpError */
export async function addressesIn(namespace: string): Promise<readonly { interface: string; address: string }[]> {
  const links = (await ipShow(['address', 'show'], { namespace })) ?? [];
  return (links as Partial<IpLink>[]).flatMap(({ ifname = '', addr_info = [] }) =>
    ifname === 'lo' ? [] : addr_info.map(({ local = '' }) => ({ interface: ifname, address: local })),
  );
}

interface IpLink {
  readonly ifname: string;
  readonly ifalias: string;
  readonly addr_info: readonly { readonly local?: string }[];
}

async function linksOf(prefix: string): Promise<KernelHoldings['links']> {
  const links = ((await ipShow(['link', 'show'])) ?? []) as Partial<IpLink>[];
  const isOurs = new RegExp(`^${prefix}(-|[mv][0-9a-z]{9}$)`);
  return links.flatMap(({ ifname = '', ifalias = '' }) => {
    if (!isOurs.test(ifname)) return [];
    // octavia <installation> <amphora> <network>; a bridge has no amphora.
    return [{ name: ifname, amphoraId: ifalias.split(' ')[2] ?? null }];
  });
}

/** Paths below a folder of an amphora's sockets. */
export async function socketFolders(runtimeFolder: string): Promise<readonly string[]> {
  const names = await readdir(runtimeFolder).catch(() => []);
  return names.filter((name) => /^[0-9a-f]{12}$/.test(name)).map((name) => join(runtimeFolder, name));
}
