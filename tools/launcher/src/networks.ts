import { type NamespacePlan, prepareNamespaces, removeNamespaces } from '@octavia/drivers';
import type { Home } from './home.ts';
import type { Installation } from './installation.ts';

/**
 * Makes the bridges of namespaces mode before the services start, because heartbeats arrive at an address of one of them.
 * Returns null in loopback mode, which has none.
 */
export async function openNetworks(
  home: Home,
  { id, mode, runtimeFolder }: Installation,
  say: (line: string) => void,
): Promise<NamespacePlan | null> {
  if (mode !== 'namespaces') return null;
  const plan = await prepareNamespaces({ installationId: id, dataFolder: home.path, runtimeFolder });
  const { management, vip } = plan;
  say(`networks: management ${management.cidr} on ${management.bridge}, VIPs ${vip.cidr} on ${vip.bridge}`);
  say(`members on this machine: reached at ${vip.hostAddress}`);
  return plan;
}

/** Removes bridges, namespaces and what is left in them. Amphorae are stopped before. Succeeds if there are none. */
export async function closeNetworks(home: Home, { mode, runtimeFolder }: Installation): Promise<void> {
  if (mode === 'namespaces') await removeNamespaces({ dataFolder: home.path, runtimeFolder });
}
