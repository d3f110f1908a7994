import { rm, statfs } from 'node:fs/promises';
import { makeBridges } from './bridges.ts';
import { IpError, ipBatch, ipNetns, ipShow } from './ip.ts';
import { type AmphoraNames, amphoraNames, type NamespacePlan, type NetworkKind, pairNames } from './plan.ts';

/** f_type of a file that is a namespace; others are what a crash left of making one. Source: NSFS_MAGIC of linux/magic.h. */
const NSFS_MAGIC = 0x6e736673;
/** Tries of what another worker, or a crash, may have left half done. */
const TRIES = 4;

/** Makes the amphora's namespace, and in it nothing but its own loopback. Succeeds if it is there. @throws IpError */
export async function makeNamespace(names: AmphoraNames): Promise<void> {
  for (let left = TRIES; !(await isNamespace(names)); left--) {
    if (left === 0) throw new IpError(`${names.namespaceFile} cannot be made into a namespace: remove that file.`);
    // A file that is no namespace is of a crash between the two halves of making it.
    await rm(names.namespaceFile, { force: true }).catch(() => {});
    await ipNetns('add', names.namespace).catch(async (error) => {
      if (left === 1 && !(await isNamespace(names))) throw error;
    });
  }
}

export async function isNamespace({ namespaceFile }: AmphoraNames): Promise<boolean> {
  return (await statfs(namespaceFile).catch(() => null))?.type === NSFS_MAGIC;
}

/**
 * Gives the amphora its interface on a network: a pair whose outer end is a port of the bridge and whose inner end is in its namespace.
 * Succeeds if it has one; one that is left of another namespace is replaced. @throws IpError
 */
export async function plugPair(plan: NamespacePlan, amphoraId: string, kind: NetworkKind): Promise<void> {
  const { namespace } = amphoraNames(plan, amphoraId);
  const { outer, inner, mac, alias } = pairNames(plan, amphoraId, kind);
  const { bridge } = kind === 'management' ? plan.management : plan.vip;
  const make = ['link', 'add', outer, 'alias', alias, 'type', 'veth', 'peer', 'name', inner, 'address', mac];
  const attach = ['link', 'set', outer, 'master', bridge, 'alias', alias, 'up'];
  // Amphorae have no business with each other's agents: only with the host.
  const isolate = ['link', 'set', outer, 'type', 'bridge_slave', 'isolated', 'on'];
  const rest = kind === 'management' ? [attach, isolate] : [attach];
  for (let left = TRIES; ; left--) {
    try {
      return await ipBatch([[...make, 'netns', namespace], ...rest]);
    } catch (error) {
      if (left === 1 || !(error instanceof IpError)) throw error;
    }
    // It is there, wholly or in part, or another worker plugs the same just now, or somebody removed the bridge.
    await makeBridges(plan);
    if ((await ipShow(['link', 'show', 'dev', inner], { namespace })) === null) {
      await ipBatch([['link', 'delete', outer]], { isForced: true });
    } else if (await ipBatch(rest).then(isTrue, isFalse)) {
      return;
    }
  }
}

const isTrue = (): boolean => true;
const isFalse = (): boolean => false;

/** Gives the amphora its address on the management network. @throws IpError */
export async function setManagementAddress(plan: NamespacePlan, amphoraId: string, address: string): Promise<void> {
  const { inner } = pairNames(plan, amphoraId, 'management');
  await ipBatch(
    [
      ['link', 'set', 'lo', 'up'],
      ['address', 'replace', `${address}/${plan.management.prefixLength}`, 'dev', inner],
      ['link', 'set', inner, 'up'],
    ],
    { namespace: amphoraNames(plan, amphoraId).namespace },
  );
}

/** Takes an address from the amphora's interface on the VIP's network. Succeeds if it has none. @throws IpError when it is still there */
export async function removeVipAddress(plan: NamespacePlan, amphoraId: string, address: string): Promise<void> {
  const { inner } = pairNames(plan, amphoraId, 'vip');
  const { namespace } = amphoraNames(plan, amphoraId);
  // As it is there, with whatever prefix the agent gave it.
  const found = async () => {
    const links = ((await ipShow(['address', 'show', 'dev', inner], { namespace })) ?? []) as Partial<ShownLink>[];
    const all = links.flatMap(({ addr_info = [] }) => addr_info);
    return all.flatMap(({ local, prefixlen }) => (local === address ? [`${local}/${prefixlen}`] : []));
  };
  const own = await found();
  if (own.length === 0) return;
  await ipBatch(
    own.map((one) => ['address', 'delete', one, 'dev', inner]),
    { namespace, isForced: true },
  );
  const left = await found();
  if (left.length > 0) throw new IpError(`ip address delete ${left.join(', ')}: still there`);
}

interface ShownLink {
  readonly addr_info: readonly { readonly local?: string; readonly prefixlen?: number }[];
}

/**
 * Takes interfaces from the amphora: nobody on those networks hears of it any more, whatever still runs in its namespace. Succeeds if
 * it has none. @throws IpError when one is still there
 */
export async function unplugPairs(
  plan: NamespacePlan,
  amphoraId: string,
  kinds: readonly NetworkKind[],
): Promise<void> {
  const outers = await pluggedPairs(plan, amphoraId, kinds);
  if (outers.length === 0) return;
  await ipBatch(
    outers.map((outer) => ['link', 'delete', outer]),
    { isForced: true },
  );
  const left = await pluggedPairs(plan, amphoraId, kinds);
  if (left.length > 0) throw new IpError(`ip link delete ${left.join(', ')}: still there`);
}

/** Names of the outer ends that the amphora has, of those networks. */
export async function pluggedPairs(
  plan: NamespacePlan,
  amphoraId: string,
  kinds: readonly NetworkKind[],
): Promise<readonly string[]> {
  const names = kinds.map((kind) => pairNames(plan, amphoraId, kind).outer);
  const found = await Promise.all(names.map((name) => ipShow(['link', 'show', 'dev', name])));
  return names.filter((_, index) => found[index] !== null);
}

/** Removes the namespace; no process may be in it. Succeeds if there is none. @throws IpError, or what the system says */
export async function removeNamespace(names: AmphoraNames): Promise<void> {
  if (await isNamespace(names)) await ipNetns('delete', names.namespace);
  await rm(names.namespaceFile, { force: true });
}
