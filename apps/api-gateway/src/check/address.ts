import { BlockList, isIP } from 'node:net';

const MAPPED = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/;

/**
 * The one way to write an address: dotted quad, or IPv6 as RFC 5952. An IPv4 address in IPv6 clothes is that IPv4 address,
 * so that it passes no list of addresses in disguise. Null: not an address, or one with a zone.
 */
export function canonicalAddress(text: string): string | null {
  const family = isIP(text);
  if (family === 0 || text.includes('%')) return null;
  if (family === 4) return text;
  const compressed = new URL(`http://[${text}]/`).hostname.slice(1, -1);
  const mapped = MAPPED.exec(compressed);
  if (!mapped) return compressed;
  const [high, low] = [Number.parseInt(mapped[1] ?? '', 16), Number.parseInt(mapped[2] ?? '', 16)];
  return [high >> 8, high & 255, low >> 8, low & 255].join('.');
}

/** Whether a canonical address is one that no host has. */
export function isUnspecified(address: string): boolean {
  return address === '0.0.0.0' || address === '::';
}

export type AddressRange = { readonly first: string; readonly last: string } | { readonly cidr: string };

/** Whether an address is in a subnet, or between two addresses, both included. */
export function isWithin(address: string, range: AddressRange): boolean {
  const family = (text: string): 'ipv4' | 'ipv6' => (isIP(text) === 6 ? 'ipv6' : 'ipv4');
  const list = new BlockList();
  if ('cidr' in range) {
    const [network = '', prefix = ''] = range.cidr.split('/');
    list.addSubnet(network, Number(prefix), family(network));
  } else {
    list.addRange(range.first, range.last, family(range.first));
  }
  return list.check(address, family(address));
}
