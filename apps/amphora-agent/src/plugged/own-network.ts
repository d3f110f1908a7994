import { writeFileSync } from 'node:fs';
import { isIPv6 } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import { AgentStartError, messageOf, RequestError } from '../errors.ts';
import { explodeAddress } from './address.ts';
import { changeNetwork, type Link, showLinks } from './ip.ts';
import type { Network, NetworkPort, PortAddress, VipPort } from './network.ts';
import type { PluggedAddresses } from './plugged-addresses.ts';

/**
 * Neighbours are told again after so long, milliseconds: the bridge may not have passed on the first word yet, and words get lost.
 * keepalived, too, says it several times.
 */
const TELL_AGAIN_MS = [50, 250, 1000];

/** What the kernel must do in the namespace of an amphora. Source: ip-sysctl of Linux. */
const SYSCTLS = {
  // HAProxy of a backup binds the VIP before it has it.
  'ipv4/ip_nonlocal_bind': 1,
  'ipv6/ip_nonlocal_bind': 1,
  // Taking one VIP away must not take the others of that subnet with it.
  'ipv4/conf/all/promote_secondaries': 1,
  // An address is answered for on its own interface alone.
  'ipv4/conf/all/arp_ignore': 1,
  'ipv4/conf/all/arp_announce': 2,
} as const;

/**
 * How often the kernel asks for the MAC address of a neighbour that does not answer, milliseconds; its default is 1000. When the link of a
 * pair's amphora was cut and is back, the two serve both until one gets the other's advert, which waits for this.
 */
const ASK_AGAIN_MS = 100;

/** Makes the kernel's settings in a network namespace of our own. @throws AgentStartError */
export function prepareOwnNetwork(): void {
  for (const [name, value] of Object.entries(SYSCTLS)) {
    try {
      writeFileSync(`/proc/sys/net/${name}`, String(value));
    } catch (error) {
      if (name.startsWith('ipv6/')) continue; // A machine without IPv6 has no use for it.
      throw new AgentStartError(`net/${name} cannot be set: ${messageOf(error)}.`, 70, { cause: error });
    }
  }
}

export interface OwnNetworkParts {
  readonly plugged: PluggedAddresses;
  /** Whether a VIP is ours for certain; else VRRP decides who of the pair has it. */
  readonly ownsVips: () => boolean;
  readonly log: Logger;
}

/** Namespaces mode: the driver hot-plugs interfaces into a network namespace that is the amphora's alone. */
export class OwnNetwork implements Network {
  readonly #parts: OwnNetworkParts;

  constructor(parts: OwnNetworkParts) {
    this.#parts = parts;
  }

  async plugVip({ mac, mtu, vips, own }: VipPort): Promise<string> {
    const { plugged, ownsVips } = this.#parts;
    const all = [...(own ? [own] : []), ...vips];
    const wanted = all.filter(({ address }) => ownsVips() || address === own?.address);
    const link = await findLink(mac);
    await this.#apply(link, mtu, wanted);
    this.#findNeighboursSoon(link);
    plugged.add(all.map(({ address }) => address));
    plugged.setVipPort(mac);
    return link.name;
  }

  async unplugVips(addresses: readonly string[]): Promise<void> {
    const { plugged, ownsVips } = this.#parts;
    if (addresses.length === 0 || !ownsVips()) return;
    const gone = new Set(addresses.filter((address) => plugged.isVip(address)).map(explodeAddress));
    const links = (await shownLinks()).filter(({ mac }) => mac === plugged.vipPort);
    const commands = links.flatMap(({ name, addresses: all }) =>
      all
        .filter(({ address }) => gone.has(explodeAddress(address)))
        .map(({ address, prefixLength }) => ['address', 'delete', `${address}/${prefixLength}`, 'dev', name]),
    );
    await change(commands);
    plugged.remove(addresses);
  }

  async plugNetwork({ mac, mtu, addresses }: NetworkPort): Promise<{ interface: string; isKnown: boolean }> {
    const link = await findLink(mac);
    // On the VIP's port VIPs come and go by other calls.
    const before = this.#parts.plugged.network(mac);
    const after = addresses.map(({ address }) => explodeAddress(address));
    const surplus = link.addresses.filter(
      ({ address }) => before.includes(explodeAddress(address)) && !after.includes(explodeAddress(address)),
    );
    await this.#apply(link, mtu, addresses);
    await change(
      surplus.map(({ address, prefixLength }) => ['address', 'delete', `${address}/${prefixLength}`, 'dev', link.name]),
    );
    const isKnown = this.#parts.plugged.setNetwork(mac, [...after]);
    return { interface: link.name, isKnown };
  }

  async interfaceOf(address: string): Promise<string | null> {
    const wanted = explodeAddress(address);
    const links = await showLinks();
    const found = links.find(({ addresses }) => addresses.some((one) => explodeAddress(one.address) === wanted));
    if (found) return found.name;
    // A VIP that the other amphora of the pair has just now.
    const { plugged } = this.#parts;
    if (!plugged.has(address)) return null;
    return links.find(({ mac }) => mac === plugged.vipPort)?.name ?? null;
  }

  #findNeighboursSoon({ name }: Link): void {
    for (const family of ['ipv4', 'ipv6']) {
      try {
        writeFileSync(`/proc/sys/net/${family}/neigh/${name}/retrans_time_ms`, String(ASK_AGAIN_MS));
      } catch (error) {
        if (family === 'ipv4') this.#parts.log.warn({ err: error, interface: name }, 'neighbours are found as usual');
      }
    }
  }

  async #apply(link: Link, mtu: number | null, addresses: readonly PortAddress[]): Promise<void> {
    const { name } = link;
    await change([
      ...(mtu === null ? [] : [['link', 'set', name, 'mtu', String(mtu)]]),
      ['link', 'set', name, 'up'],
      ...addresses.map((one) => addressCommand(one, name)),
      ...addresses.flatMap((one) => routeCommands(one, name)),
    ]);
    await this.#tell(link);
    void this.#tellAgain(link);
  }

  /**
   * Tells all neighbours whose the interface's addresses are now: gratuitous ARP, and unsolicited neighbour advertisements for IPv6. The
   * kernel sends them itself when the MAC address of an interface is set, be it to what it was.
   */
  async #tell({ name, mac }: Link): Promise<void> {
    for (const setting of [`ipv4/conf/${name}/arp_notify`, `ipv6/conf/${name}/ndisc_notify`]) {
      try {
        writeFileSync(`/proc/sys/net/${setting}`, '1');
      } catch {
        // A machine without IPv6, or an interface that is gone.
      }
    }
    await changeNetwork([['link', 'set', name, 'address', mac]]);
  }

  async #tellAgain(link: Link): Promise<void> {
    try {
      for (const afterMs of TELL_AGAIN_MS) {
        await delay(afterMs, undefined, { ref: false });
        await this.#tell(link);
      }
    } catch (error) {
      this.#parts.log.info({ interface: link.name, reason: messageOf(error) }, 'neighbours not told again');
    }
  }
}

/** @throws RequestError 404, after which the controller tries again: the interface may not be there yet */
async function findLink(mac: string): Promise<Link> {
  const found = (await shownLinks()).find((link) => link.mac === mac);
  if (!found) throw new RequestError(404, 'Not found', 'No suitable network interface found');
  return found;
}

/** @throws RequestError 500 */
function shownLinks(): Promise<readonly Link[]> {
  return showLinks().catch((error) => {
    throw new RequestError(500, 'Error plugging', messageOf(error));
  });
}

async function change(commands: readonly (readonly string[])[]): Promise<void> {
  if (commands.length === 0) return;
  await changeNetwork(commands).catch((error) => {
    throw new RequestError(500, 'Error plugging', messageOf(error));
  });
}

/** Nobody else has the address, so that IPv6 need not look for a duplicate first. */
function addressCommand({ address, prefixLength }: PortAddress, name: string): string[] {
  const isIpv6 = isIPv6(address);
  const length = prefixLength ?? (isIpv6 ? 128 : 32);
  return ['address', 'replace', `${address}/${length}`, 'dev', name, ...(isIpv6 ? ['nodad'] : [])];
}

function routeCommands({ address, gateway, hostRoutes }: PortAddress, name: string): string[][] {
  const routes = gateway === null ? hostRoutes : [...hostRoutes, { destination: anywhere(address), nexthop: gateway }];
  return routes.map(({ destination, nexthop }) => ['route', 'replace', destination, 'via', nexthop, 'dev', name]);
}

function anywhere(address: string): string {
  return isIPv6(address) ? '::/0' : '0.0.0.0/0';
}
