/** What is known of a pair, checked: some of it is foreign text, told by agents or written by an older controller. */
import { createHash } from 'node:crypto';
import { isIPv6 } from 'node:net';
import { type AmphoraFacts, type AmphoraRole, DomainError, type LoadBalancerTree } from '@octavia/domain';
import { isAddress, isPath, isUuid } from './text.ts';

/** The amphora that gets the file. */
export interface VrrpAmphora {
  readonly id: string;
  readonly role: AmphoraRole;
  readonly facts: AmphoraFacts;
  /** Its own address in the VIP's network. */
  readonly vrrpIp: string;
  /** Name of the interface that has `vrrpIp`, as the agent told it. */
  readonly interface: string;
}

/** The other amphora of the pair. */
export interface VrrpPeer {
  readonly id: string;
  readonly role: AmphoraRole;
  readonly vrrpIp: string;
}

/** The network that a VIP is in: what the plug call told the agent. */
export interface VipNetwork {
  readonly cidr: string;
  readonly gateway: string | null;
  readonly hostRoutes: readonly { readonly destination: string; readonly nexthop: string }[];
}

export interface VrrpSettings {
  readonly vipNetwork: VipNetwork;
  readonly additionalVips?: readonly (VipNetwork & { readonly address: string })[];
  /**
   * Password of VRRP version 2, at most 8 characters; the fast form has none. It travels in clear, so it keeps two load balancers apart
   * and no attacker out. Default: made of the load balancer's id.
   */
  readonly authPass?: string;
}

/** What both forms are made of, checked. */
export interface VrrpPlan {
  /** Name of the instance: Octavia's `vrrp_group_name`. */
  readonly name: string;
  readonly basePath: string;
  readonly interface: string;
  readonly priority: number;
  readonly vrrpIp: string;
  readonly peerIp: string | null;
  /** The VIP first, then those of its address family. */
  readonly vips: readonly Vip[];
  /** VIPs of the other address family: they do not fit into an advert, and follow the others. */
  readonly excludedVips: readonly Vip[];
  readonly authPass: string;
}

export type Vip = VipNetwork & { readonly address: string };

/** Source: Octavia's defaults of the same names. */
export const VIRTUAL_ROUTER_ID = 1;
const PRIORITIES: Readonly<Record<AmphoraRole, number | null>> = { MASTER: 100, BACKUP: 90, STANDALONE: null };

/** A value that no keepalived configuration can be made of. */
export class VrrpInvalid extends DomainError {
  readonly kind = 'state';
  readonly reason = 'VRRP_INVALID';
  constructor(loadBalancerId: string, what: string, rule: string) {
    super(`VRRP of load balancer ${loadBalancerId} cannot be written: ${what} must be ${rule}. Fail it over.`, {
      loadBalancerId,
      what,
    });
  }
}

/** Checks what both forms are made of. @throws VrrpInvalid */
export function vrrpPlanOf(
  { loadBalancer }: LoadBalancerTree,
  amphora: VrrpAmphora,
  peer: VrrpPeer | null,
  { vipNetwork, additionalVips = [], authPass = passOf(loadBalancer.id) }: VrrpSettings,
): VrrpPlan {
  const check = (isGood: boolean, what: string, rule: string) => {
    if (!isGood) throw new VrrpInvalid(loadBalancer.id, what, rule);
  };
  const address = loadBalancer.vip.address ?? '';
  const all: Vip[] = [{ ...vipNetwork, address }, ...additionalVips];
  const { basePath } = amphora.facts.platform;
  check(isUuid(loadBalancer.id), 'the id', 'a UUID');
  check(isPath(basePath) && !/["{}]/.test(basePath), 'platform.basePath', 'an absolute path');
  check(/^[A-Za-z0-9_.-]{1,15}$/.test(amphora.interface), 'the interface', 'a name of at most 15 characters');
  check(isAddress(amphora.vrrpIp), `vrrpIp of amphora ${amphora.id}`, 'an IP address');
  check(peer === null || isAddress(peer.vrrpIp), `vrrpIp of amphora ${peer?.id}`, 'an IP address');
  check(/^[A-Za-z0-9]{1,8}$/.test(authPass), 'authPass', '1 to 8 letters and digits');
  for (const vip of all) {
    check(isAddress(vip.address), 'a VIP', 'an IP address');
    check(isCidr(vip.cidr), 'the network of a VIP', 'in CIDR notation');
    check(vip.gateway === null || isAddress(vip.gateway), 'the gateway of a VIP', 'an IP address, or none');
    const areRoutes = vip.hostRoutes.every((route) => isCidr(route.destination) && isAddress(route.nexthop));
    check(areRoutes, 'a host route', 'a network and an address');
  }
  const priority = PRIORITIES[amphora.role];
  if (priority === null) throw new VrrpInvalid(loadBalancer.id, `role of amphora ${amphora.id}`, 'MASTER or BACKUP');
  return {
    name: loadBalancer.id.replaceAll('-', ''),
    basePath,
    interface: amphora.interface,
    priority,
    vrrpIp: amphora.vrrpIp,
    peerIp: peer?.vrrpIp ?? null,
    vips: all.filter((vip) => isIPv6(vip.address) === isIPv6(address)),
    excludedVips: all.filter((vip) => isIPv6(vip.address) !== isIPv6(address)),
    authPass,
  };
}

/** Octavia's passwords have 7 characters. */
function passOf(loadBalancerId: string): string {
  return createHash('sha256').update(`vrrp ${loadBalancerId}`).digest('hex').slice(0, 7);
}

function isCidr(text: string): boolean {
  const [, address = '', bits = ''] = /^([^/]+)\/(\d{1,3})$/.exec(text) ?? [];
  return isAddress(address) && Number(bits) <= (isIPv6(address) ? 128 : 32);
}

/** Routes and rules by which answers leave from the VIP: table 1, as Octavia has it. @param via keyword before a next hop */
export function vipRoutes(plan: VrrpPlan, via: 'gateway' | 'via'): { routes: string[]; rules: string[] } {
  const all = [...plan.vips, ...plan.excludedVips];
  const device = `dev ${plan.interface}`;
  const routes = all.flatMap(({ address, cidr, gateway, hostRoutes }) => [
    `${cidr} ${device} src ${address} scope link table 1`,
    ...(gateway === null ? [] : [`default via ${gateway} ${device} onlink table 1`]),
    ...hostRoutes.map(({ destination, nexthop }) =>
      via === 'via'
        ? `${destination} via ${nexthop} ${device} onlink table 1`
        : `${destination} ${device} gateway ${nexthop} onlink table 1`,
    ),
  ]);
  const rules = all.map(({ address }) => `from ${address}/${isIPv6(address) ? 128 : 32} table 1 priority 100`);
  return { routes, rules };
}
