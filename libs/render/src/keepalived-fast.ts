import { isIPv6 } from 'node:net';
import { VIRTUAL_ROUTER_ID, type VrrpPlan, vipRoutes } from './keepalived-plan.ts';
import { Section } from './text.ts';

/** Seconds between adverts. Three that are missing, and 0.06 for the priority, are a dead master. */
const ADVERT_INTERVAL = '0.1';
/**
 * keepalived runs before everything else that wants a processor: with adverts of 0.1 s a master that is kept waiting for 0.36 s is taken
 * for dead. Where real time is refused (a control group without a share of it), the highest ordinary priority is left.
 */
const REAL_TIME_PRIORITY = 50;
const NICE = -20;
/** Microseconds at a stretch after which the kernel kills a real-time keepalived. Its default of 10 ms is too short for a slow machine. */
const REAL_TIME_LIMIT_US = 1_000_000;
/** Only a packet from the same link has this: routers count down. */
const LINK_TTL = 255;

/**
 * The fast form, for our own agent: VRRP version 3, adverts each 0.1 s to the peer alone, and a file by which the agent says at once that
 * HAProxy died; the script is for the case that the agent is dead as well.
 */
export function fastVrrpText(plan: VrrpPlan): string {
  const folder = `${plan.basePath}/vrrp`;
  const { routes, rules } = vipRoutes(plan, 'via');
  return [
    section(
      'global_defs',
      'script_user root',
      `vrrp_rt_priority ${REAL_TIME_PRIORITY}`,
      `vrrp_rlimit_rttime ${REAL_TIME_LIMIT_US}`,
      `vrrp_priority ${NICE}`,
      'vrrp_no_swap',
    ),
    // 0: HAProxy serves, anything else: this amphora must not have the VIP.
    section('track_file haproxy', `file "${folder}/haproxy.state"`, 'weight 0', 'init_file 1'),
    // No time limit that a busy machine would reach: a late answer is no reason to give up the VIP.
    section(
      'vrrp_script check_script',
      `script "${folder}/check_script.sh"`,
      'interval 2',
      'timeout 10',
      'fall 2',
      'rise 1',
    ),
    instance(plan, routes, rules),
  ].join('\n');
}

function instance(plan: VrrpPlan, routes: readonly string[], rules: readonly string[]): string {
  const head = new Section(`vrrp_instance ${plan.name} {`);
  for (const line of [
    'state BACKUP',
    'version 3',
    `interface ${plan.interface}`,
    `virtual_router_id ${VIRTUAL_ROUTER_ID}`,
    `priority ${plan.priority}`,
    'nopreempt',
    'accept',
    `advert_int ${ADVERT_INTERVAL}`,
    // Neighbours that still have the address of the one before, such as of a namespace without processes, are put right each second.
    'garp_master_delay 1',
    'garp_master_repeat 5',
    'garp_master_refresh 1',
    'garp_master_refresh_repeat 1',
    'garp_lower_prio_repeat 5',
    'track_src_ip',
    `unicast_src_ip ${plan.vrrpIp}`,
    `unicast_ttl ${LINK_TTL}`,
    'check_unicast_src',
  ]) {
    head.add(line);
  }
  const address = ({ address: ip }: { address: string }) => ip;
  return [
    head.text().trimEnd(),
    block('unicast_peer', [peerOf(plan)]),
    block('virtual_ipaddress', plan.vips.map(address)),
    ...(plan.excludedVips.length === 0 ? [] : [block('virtual_ipaddress_excluded', plan.excludedVips.map(address))]),
    block('virtual_routes', routes),
    block('virtual_rules', rules),
    block('track_file', ['haproxy']),
    block('track_script', ['check_script']),
    '}\n',
  ].join('\n');
}

/**
 * Without any peer keepalived takes to multicast, where it meets the pairs of other load balancers, which all have the same router id:
 * so the adverts of one that is alone go to itself.
 */
function peerOf({ peerIp, vrrpIp }: VrrpPlan): string {
  if (peerIp === null) return isIPv6(vrrpIp) ? '::1' : '127.0.0.1';
  return `${peerIp} min_ttl ${LINK_TTL} max_ttl ${LINK_TTL}`;
}

function section(head: string, ...lines: readonly string[]): string {
  const made = new Section(`${head} {`);
  for (const line of lines) made.add(line);
  return `${made.text()}}\n`;
}

function block(name: string, lines: readonly string[]): string {
  return [`    ${name} {`, ...lines.map((line) => `        ${line}`), '    }'].join('\n');
}
