import { isIP } from 'node:net';

/** An IPv6 address with all its digits (`2001:0db8:...`), as Octavia's agent writes it; an IPv4 address as it is. */
export function explodeAddress(address: string): string {
  if (isIP(address) !== 6) return address;
  // The URL parser brings every spelling, embedded IPv4 among them, to the short form of RFC 5952.
  const short = new URL(`http://[${address.split('%')[0]}]`).hostname.slice(1, -1);
  const [head = '', tail] = short.split('::');
  const before = head === '' ? [] : head.split(':');
  const after = !tail ? [] : tail.split(':');
  const zeros = tail === undefined ? [] : new Array<string>(8 - before.length - after.length).fill('0');
  return [...before, ...zeros, ...after].map((group) => group.padStart(4, '0')).join(':');
}
