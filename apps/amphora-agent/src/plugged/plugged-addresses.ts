import { readJson, replaceFile } from '../files.ts';
import { explodeAddress } from './address.ts';

/** Ports of members' networks; a load balancer has a few. */
const MAX_NETWORKS = 256;
const MAX_VIPS = 1024;

interface Plugged {
  /** VIPs and the address beside them. */
  readonly vips: readonly string[];
  /** Addresses in members' networks, by MAC address of their port. */
  readonly networks: Readonly<Record<string, readonly string[]>>;
  /** MAC address of the port that VIPs are on; in loopback mode there is none. */
  readonly vipPort: string | null;
}

/** The addresses that this amphora was given, kept in a file. */
export class PluggedAddresses {
  readonly #file: string;
  #plugged: Plugged;

  constructor(file: string) {
    this.#file = file;
    const found = readJson(file) as Partial<Plugged> | null;
    this.#plugged = { vips: found?.vips ?? [], networks: found?.networks ?? {}, vipPort: found?.vipPort ?? null };
  }

  get vipPort(): string | null {
    return this.#plugged.vipPort;
  }

  /** Whether the amphora was given the address. */
  has(address: string): boolean {
    const { vips, networks } = this.#plugged;
    const wanted = explodeAddress(address);
    return [vips, ...Object.values(networks)].flat().some((known) => explodeAddress(known) === wanted);
  }

  /** Records VIPs, once each. */
  add(addresses: readonly string[]): void {
    const vips = [...new Set([...this.#plugged.vips, ...addresses])].slice(-MAX_VIPS);
    this.#write({ ...this.#plugged, vips });
  }

  /** Forgets VIPs. */
  remove(addresses: readonly string[]): void {
    const gone = new Set(addresses.map(explodeAddress));
    const vips = this.#plugged.vips.filter((known) => !gone.has(explodeAddress(known)));
    if (vips.length !== this.#plugged.vips.length) this.#write({ ...this.#plugged, vips });
  }

  /** Whether it was given the address as a VIP. */
  isVip(address: string): boolean {
    const wanted = explodeAddress(address);
    return this.#plugged.vips.some((known) => explodeAddress(known) === wanted);
  }

  /** Records exactly these addresses for a port, and returns whether the port was known. */
  setNetwork(mac: string, addresses: readonly string[]): boolean {
    const isKnown = Object.hasOwn(this.#plugged.networks, mac);
    const networks = Object.entries({ ...this.#plugged.networks, [mac]: addresses }).slice(-MAX_NETWORKS);
    this.#write({ ...this.#plugged, networks: Object.fromEntries(networks) });
    return isKnown;
  }

  /** Addresses that were recorded for a port. */
  network(mac: string): readonly string[] {
    return this.#plugged.networks[mac] ?? [];
  }

  setVipPort(mac: string): void {
    this.#write({ ...this.#plugged, vipPort: mac });
  }

  #write(plugged: Plugged): void {
    replaceFile(this.#file, JSON.stringify(plugged));
    this.#plugged = plugged;
  }
}
