import { createHash } from 'node:crypto';
import { v5 as uuidv5 } from 'uuid';
import { formatIpv4, parseIpv4 } from '../addresses.ts';

/** A network of an installation: a bridge with the host on it. */
export interface BridgePlan {
  /** Name of the bridge's interface. */
  readonly bridge: string;
  readonly cidr: string;
  /** Length of the network's prefix in bits. */
  readonly prefixLength: number;
  /** The machine itself on that network. */
  readonly hostAddress: string;
}

/** What one installation in namespaces mode has on this machine, so that two of them share it. */
export interface NamespacePlan {
  readonly installationId: string;
  /** Beginning of the name of every interface and namespace of this installation: five characters. */
  readonly prefix: string;
  /** Where agents answer and heartbeats arrive. */
  readonly management: BridgePlan & { readonly first: string; readonly last: string };
  /** Where clients, members and amphorae of a pair meet. */
  readonly vip: BridgePlan & {
    readonly id: string;
    readonly networkId: string;
    /** Addresses for VIPs. */
    readonly first: string;
    readonly last: string;
    /** Addresses that amphorae of pairs have for themselves, beside the VIP. */
    readonly ownFirst: string;
    readonly ownLast: string;
    /** Addresses that nothing of ours takes: for clients and members that people attach to the bridge. */
    readonly guestFirst: string;
    readonly guestLast: string;
  };
}

/** Namespace of the ids that are derived from an installation id: a constant of ours, never to be changed. */
const PLAN_NAMESPACE = '0f6a5a0e-4a0c-5f57-8a9e-3b1d6f0d2c74';
/** 198.18.0.0/15 is set aside for tests of networks and routed nowhere, unlike 10/8 or 192.168/16, which people have. Source: RFC 2544. */
export const POOL = { cidr: '198.18.0.0/15', first: parseIpv4('198.18.0.0') ?? 0, size: 131_072 } as const;
/** Addresses of an installation's block and of its two networks: 509 amphorae and 254 VIPs are more than a machine runs. */
const BLOCK = 1024;
const HALF = 512;
const HALF_PREFIX_LENGTH = 23;
const GUESTS = 32;
/** Blocks of which an installation can have one. */
export const BLOCKS = POOL.size / BLOCK;
/** 36^4 prefixes; digits and small letters. */
const PREFIX_DIGITS = 4;

/**
 * Derives names and a /22 of 198.18.0.0/15 from the installation's id. Where somebody else has that block, the next is taken.
 * @param probe how many blocks to go on, 0 to BLOCKS - 1
 */
export function namespacePlan(installationId: string, probe = 0): NamespacePlan {
  const hash = createHash('sha256').update(installationId).digest();
  const block = (hash.readUInt32BE(0) + probe) % BLOCKS;
  const management = POOL.first + block * BLOCK;
  const vip = management + HALF;
  const prefix = `o${base36(hash.subarray(4), PREFIX_DIGITS)}`;
  return {
    installationId,
    prefix,
    management: {
      ...network(`${prefix}-mgmt`, management),
      first: formatIpv4(management + 2),
      last: formatIpv4(management + HALF - 2),
    },
    vip: {
      ...network(`${prefix}-vip`, vip),
      id: uuidv5(`subnet ${installationId}`, PLAN_NAMESPACE),
      networkId: uuidv5(`network ${installationId}`, PLAN_NAMESPACE),
      first: formatIpv4(vip + 2),
      last: formatIpv4(vip + HALF / 2 - 1),
      ownFirst: formatIpv4(vip + HALF / 2),
      ownLast: formatIpv4(vip + HALF - GUESTS - 2),
      guestFirst: formatIpv4(vip + HALF - GUESTS - 1),
      guestLast: formatIpv4(vip + HALF - 2),
    },
  };
}

function network(bridge: string, base: number): BridgePlan {
  return {
    bridge,
    cidr: `${formatIpv4(base)}/${HALF_PREFIX_LENGTH}`,
    prefixLength: HALF_PREFIX_LENGTH,
    hostAddress: formatIpv4(base + 1),
  };
}

/** The two networks on which an amphora can have an interface. */
export type NetworkKind = 'management' | 'vip';

/** What an amphora is called by the kernel. Everything follows from ids, so that a second try finds what the first one made. */
export interface AmphoraNames {
  /** Whole, as `ip netns exec` wants it. */
  readonly namespace: string;
  /** File that is the namespace. */
  readonly namespaceFile: string;
}

/** An amphora's interface on one network: a pair, one end on the bridge and the other in the namespace. */
export interface PairNames {
  /** At most 15 characters. Source: IFNAMSIZ of Linux. */
  readonly outer: string;
  /** As in Octavia's amphorae: eth0 for management, eth1 for the VIP. */
  readonly inner: string;
  /** Of the inner end: locally administered, unicast. */
  readonly mac: string;
  /** Kept with the outer end, for people and for finding orphans. */
  readonly alias: string;
}

/** Where iproute2 keeps namespaces that have names. */
export const NAMESPACES_FOLDER = '/run/netns';

export function amphoraNames(plan: NamespacePlan, amphoraId: string): AmphoraNames {
  const namespace = `${plan.prefix}-${amphoraId}`;
  return { namespace, namespaceFile: `${NAMESPACES_FOLDER}/${namespace}` };
}

export function pairNames(plan: NamespacePlan, amphoraId: string, kind: NetworkKind): PairNames {
  const hash = createHash('sha256').update(`${kind} ${amphoraId}`).digest();
  const letter = kind === 'management' ? 'm' : 'v';
  const mac = [0x02, ...hash.subarray(0, 5)].map((byte) => byte.toString(16).padStart(2, '0')).join(':');
  return {
    outer: `${plan.prefix}${letter}${base36(hash.subarray(8), 9)}`,
    inner: kind === 'management' ? 'eth0' : 'eth1',
    mac,
    alias: `octavia ${plan.installationId} ${amphoraId} ${kind}`,
  };
}

/** Address of a bridge itself: set by hand, because else it changes with the ports and neighbours talk to nobody for a while. */
export function bridgeMac({ bridge }: BridgePlan): string {
  const hash = createHash('sha256').update(bridge).digest();
  return [0x02, ...hash.subarray(0, 5)].map((byte) => byte.toString(16).padStart(2, '0')).join(':');
}

function base36(bytes: Buffer, digits: number): string {
  return (bytes.readBigUInt64BE(0) % 36n ** BigInt(digits)).toString(36).padStart(digits, '0');
}
