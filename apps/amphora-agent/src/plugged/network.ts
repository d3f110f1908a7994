import { isIPv4 } from 'node:net';
import type { PluggedAddresses } from './plugged-addresses.ts';

/** An address with what is needed to use it. */
export interface PortAddress {
  readonly address: string;
  /** Bits of the subnet's prefix; null: it was not told, the address stands alone. */
  readonly prefixLength: number | null;
  readonly gateway: string | null;
  readonly hostRoutes: readonly { readonly destination: string; readonly nexthop: string }[];
}

/** A port of the VIP's network. */
export interface VipPort {
  /** Lower case. */
  readonly mac: string;
  readonly mtu: number | null;
  readonly vips: readonly PortAddress[];
  /** The amphora's own address beside the VIP; null: it has none. */
  readonly own: PortAddress | null;
}

/** A port of a members' network. */
export interface NetworkPort {
  readonly mac: string;
  readonly mtu: number | null;
  /** All that it has. */
  readonly addresses: readonly PortAddress[];
}

/** The interfaces of the amphora. @throws RequestError as the plug calls of the API say */
export interface Network {
  /** Puts the addresses on the port's interface. Repeating it changes nothing. Returns the interface's name. */
  plugVip(port: VipPort): Promise<string>;
  /** Takes VIPs off the interface and forgets them. A pair's stay: VRRP decides who has them. Succeeds if there are none. */
  unplugVips(addresses: readonly string[]): Promise<void>;
  /** Gives the port's interface exactly these addresses. */
  plugNetwork(port: NetworkPort): Promise<{ readonly interface: string; readonly isKnown: boolean }>;
  /** Name of the interface that has the address, or null. */
  interfaceOf(address: string): Promise<string | null>;
}

/** Loopback mode: every 127.x.y.z address is on `lo` from the start, so an address is only recorded, and nothing can be there already. */
export class LoopbackNetwork implements Network {
  readonly #plugged: PluggedAddresses;

  constructor(plugged: PluggedAddresses) {
    this.#plugged = plugged;
  }

  async plugVip({ vips, own }: VipPort): Promise<string> {
    this.#plugged.add([...vips, ...(own ? [own] : [])].map(({ address }) => address));
    return 'lo';
  }

  async unplugVips(addresses: readonly string[]): Promise<void> {
    this.#plugged.remove(addresses);
  }

  async plugNetwork({ mac, addresses }: NetworkPort): Promise<{ interface: string; isKnown: boolean }> {
    const isKnown = this.#plugged.setNetwork(
      mac,
      addresses.map(({ address }) => address),
    );
    return { interface: 'lo', isKnown };
  }

  async interfaceOf(address: string): Promise<string | null> {
    const isLoopback = isIPv4(address) && address.startsWith('127.');
    return isLoopback || this.#plugged.has(address) ? 'lo' : null;
  }
}
