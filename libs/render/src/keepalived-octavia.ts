import { VIRTUAL_ROUTER_ID, type VrrpPlan, vipRoutes } from './keepalived-plan.ts';

/** Octavia's text: VRRP version 2, adverts each second, and a check script that the agent of its image writes. */
export function octaviaVrrpText(plan: VrrpPlan): string {
  const { routes, rules } = vipRoutes(plan, 'gateway');
  const block = (name: string, lines: readonly string[]) =>
    [`    ${name} {`, ...lines.map((line) => `        ${line}`), '    }'].join('\n');
  return `vrrp_script check_script {
    script ${plan.basePath}/vrrp/check_script.sh
    interval 5
    fall 2
    rise 2
}

vrrp_instance ${plan.name} {
    interface ${plan.interface}
    virtual_router_id ${VIRTUAL_ROUTER_ID}
    priority ${plan.priority}
    nopreempt
    accept
    garp_master_refresh 5
    garp_master_refresh_repeat 2
    advert_int 1
    authentication {
        auth_type PASS
        auth_pass ${plan.authPass}
    }

    unicast_src_ip ${plan.vrrpIp}
${block('unicast_peer', plan.peerIp === null ? [] : [plan.peerIp])}

${block(
  'virtual_ipaddress',
  plan.vips.map(({ address }) => address),
)}

${block(
  'virtual_ipaddress_excluded',
  plan.excludedVips.map(({ address }) => address),
)}

${block('virtual_routes', routes)}

${block('virtual_rules', rules)}

    track_script {
        check_script
    }
}`;
}
