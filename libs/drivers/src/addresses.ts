import { createHash } from 'node:crypto';
import { v5 as uuidv5 } from 'uuid';

/** IPv4 text to number. Returns null for anything that is not four decimal numbers from 0 to 255. */
export function parseIpv4(text: string): number | null {
  const parts = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text)?.slice(1).map(Number);
  if (!parts || parts.some((part) => part > 255)) return null;
  return parts.reduce((sum, part) => sum * 256 + part, 0);
}

export function formatIpv4(address: number): string {
  return [24, 16, 8, 0].map((shift) => (address >>> shift) & 255).join('.');
}

/** A range of IPv4 addresses, both ends included. */
export interface Ipv4Range {
  readonly first: number;
  readonly last: number;
}

/** @throws TypeError when the texts are no IPv4 addresses in order */
export function ipv4Range(first: string, last: string): Ipv4Range {
  const range = { first: parseIpv4(first) ?? -1, last: parseIpv4(last) ?? -1 };
  if (range.first < 0 || range.last < range.first)
    throw new TypeError(`${first} to ${last} is no range of IPv4 addresses`);
  return range;
}

export function isInRange(address: string, { first, last }: Ipv4Range): boolean {
  const number = parseIpv4(address);
  return number !== null && number >= first && number <= last;
}

/** What one installation uses of 127.0.0.0/8, so that two of them share a machine. */
export interface LoopbackPlan {
  /** First half: addresses for VIPs. */
  readonly vipSubnet: {
    readonly id: string;
    readonly networkId: string;
    readonly cidr: string;
    readonly first: string;
    readonly last: string;
  };
  /** Second half: addresses where agents answer. */
  readonly managementCidr: string;
  readonly managementFirst: string;
  readonly managementLast: string;
}

/** Namespace of the ids that are derived from an installation id: a constant of ours, never to be changed. */
const PLAN_NAMESPACE = '6f0c7e0e-6a5b-5d0c-9a55-0f3b1a3f8c21';
/** Second octet of the first block and number of second octets: 127.0 to 127.15 stay free for people and distributions. */
const FIRST_SECOND_OCTET = 16;
const SECOND_OCTETS = 239;
/** Addresses of a /20 and of its halves. */
const BLOCK = 4096;
const HALF = 2048;

/** Derives a /20 of 127.16.0.0 to 127.254.255.255 from the installation's id: 3,824 blocks, chosen by hash. */
export function loopbackPlan(installationId: string): LoopbackPlan {
  const hash = createHash('sha256').update(installationId).digest().readUInt32BE(0);
  const block = hash % (SECOND_OCTETS * 16);
  const base = (127 * 256 + FIRST_SECOND_OCTET) * 65536 + block * BLOCK;
  const management = base + HALF;
  return {
    vipSubnet: {
      id: uuidv5(`subnet ${installationId}`, PLAN_NAMESPACE),
      networkId: uuidv5(`network ${installationId}`, PLAN_NAMESPACE),
      cidr: `${formatIpv4(base)}/21`,
      first: formatIpv4(base + 1),
      last: formatIpv4(base + HALF - 2),
    },
    managementCidr: `${formatIpv4(management)}/21`,
    managementFirst: formatIpv4(management + 1),
    managementLast: formatIpv4(management + HALF - 2),
  };
}
