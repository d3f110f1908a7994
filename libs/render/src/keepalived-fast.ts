import { isIPv6 } from 'node:net';
import { VIRTUAL_ROUTER_ID, type VrrpPlan, vipRoutes } from './keepalived-plan.ts';
import { Section } from './text.ts';

/** Seconds between adverts. Three that are missing, and 0.06 for the priority, are a dead master. */
const ADVERT_INTERVAL = '0.1';
/**
 * keepalived runs before everything else of its control group: with adverts of 0.1 s a master that is kept waiting for 0.36 s is taken for
 * dead. The agent adds real time. `vrrp_rt_priority` must not be here: keepalived 2.2 then sets its limit of real time to nothing when it is
 * reloaded, and the kernel kills it soon after.
 */
const NICE = -20;
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
    section('global_defs', 'script_user root', `vrrp_priority ${NICE}`, 'vrrp_no_swap'),
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
    // After a split: the one that gives way says so, and the other tells the neighbours at once.
    'garp_lower_prio_repeat 5',
    'higher_prio_send_advert true',
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
