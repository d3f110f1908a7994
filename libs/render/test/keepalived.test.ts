import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type AmphoraFacts, OCTAVIA_PLATFORM } from '@octavia/domain';
import { describe, expect, it, onTestFinished } from 'vitest';
import { renderKeepalived, type VrrpAmphora, VrrpInvalid, type VrrpPeer, type VrrpSettings } from '../src/index.ts';
import { FACTS, intent, tree } from './trees.ts';

interface Network {
  readonly cidr: string;
  readonly gateway_ip: string | null;
  readonly host_routes: readonly { readonly destination: string; readonly nexthop: string }[];
}
interface Example {
  readonly host_amphora: string;
  readonly load_balancer: {
    readonly id: string;
    readonly vip: { readonly ip_address: string };
    readonly amphorae: readonly { id: string; role: 'MASTER' | 'BACKUP'; vrrp_ip: string; vrrp_interface: string }[];
    readonly vrrp_group: { readonly vrrp_auth_pass: string };
  };
  readonly network: {
    readonly vip_subnet: Network;
    readonly additional_vips: readonly { readonly ip_address: string; readonly subnet: Network }[];
  };
}

const networkOf = ({ cidr, gateway_ip, host_routes }: Network) => ({
  cidr,
  gateway: gateway_ip,
  hostRoutes: host_routes,
});

function readVrrpExample(name: string) {
  const read = (extension: string) => readFileSync(new URL(`./fixtures/${name}.${extension}`, import.meta.url), 'utf8');
  const { load_balancer: lb, host_amphora, network }: Example = JSON.parse(read('json'));
  const [own, other] = [
    lb.amphorae.find(({ id }) => id === host_amphora),
    lb.amphorae.find(({ id }) => id !== host_amphora),
  ];
  if (!own || !other) throw new Error('an example has two amphorae');
  const given = (one: typeof own) => ({ id: one.id, role: one.role, vrrpIp: one.vrrp_ip });
  return {
    cfg: read('cfg'),
    whole: tree({}, { ...intent(lb.id), topology: 'ACTIVE_STANDBY', vip: vip(lb.vip.ip_address) }),
    amphora: { ...given(own), facts: FACTS, interface: own.vrrp_interface } satisfies VrrpAmphora,
    peer: given(other) satisfies VrrpPeer,
    settings: {
      vipNetwork: networkOf(network.vip_subnet),
      additionalVips: network.additional_vips.map(({ ip_address, subnet }) => ({
        ...networkOf(subnet),
        address: ip_address,
      })),
      authPass: lb.vrrp_group.vrrp_auth_pass,
    } satisfies VrrpSettings,
  };
}

const vip = (address: string | null) => ({ address, subnetId: 's', networkId: null, portId: null });
const FAST: AmphoraFacts = { ...FACTS, platform: { ...OCTAVIA_PLATFORM, basePath: '/a', fastVrrp: true } };

/** keepalived checks that the interface exists, so it is asked in a network namespace of its own, which root may make. */
function whyNoCheck(): string | null {
  if (process.getuid?.() !== 0) return 'only root makes network namespaces';
  return spawnSync('keepalived', ['--version']).error ? 'keepalived is not installed' : null;
}

function complaintsOf(file: string): string[] {
  const inside = `ip link add eth1 type veth peer name other && keepalived -t -f "$0"`;
  const { stderr, status } = spawnSync('unshare', ['-n', 'sh', '-c', inside, file], { encoding: 'utf8' });
  // Code 6 and this line: there is no script security, which refuses folders below one that others may write to, such as /tmp.
  const lines = stderr.split('\n').filter((line) => line !== '' && !line.startsWith('SECURITY VIOLATION'));
  return status === 0 || status === 6 ? lines : [`keepalived -t ended with ${status}`, ...lines];
}

describe('keepalived of an amphora of Octavia', () => {
  for (const name of ['40-vrrp-master', '42-vrrp-additional-vips-dual-stack']) {
    it(`gets Octavia's text to the byte: ${name}`, () => {
      const { cfg, whole, amphora, peer, settings } = readVrrpExample(name);
      expect(renderKeepalived(whole, amphora, peer, settings)).toBe(cfg);
    });
  }

  it('has the lower priority as a backup, and the same password as its peer when none is given', () => {
    const { whole, amphora, peer, settings } = readVrrpExample('40-vrrp-master');
    const { authPass: _, ...others } = settings;
    const master = renderKeepalived(whole, amphora, peer, others);
    const backup = renderKeepalived(
      whole,
      { ...amphora, ...peer },
      { id: amphora.id, role: 'MASTER', vrrpIp: amphora.vrrpIp },
      others,
    );
    expect(backup).toContain('    priority 90\n');
    const pass = /auth_pass (\w{7})\n/.exec(master)?.[1];
    expect(pass).toBeDefined();
    expect(/auth_pass (\w{7})\n/.exec(backup)?.[1]).toBe(pass);
  });
});

describe('keepalived of an amphora of ours', () => {
  const { whole, amphora, peer, settings } = readVrrpExample('40-vrrp-master');
  const ours = { ...amphora, facts: FAST };

  it('speaks VRRP version 3 ten times a second with its peer alone, and only on the link', () => {
    const text = renderKeepalived(whole, ours, peer, settings);
    for (const line of ['version 3', 'advert_int 0.1', 'priority 100', 'nopreempt', 'unicast_ttl 255']) {
      expect(text).toContain(`\n    ${line}\n`);
    }
    expect(text).toContain('\n        10.10.0.12 min_ttl 255 max_ttl 255\n');
    expect(text).not.toContain('auth');
    expect(text).not.toContain('rt_priority');
  });

  it('gives up the VIP by the files in the folder of its own amphora', () => {
    const text = renderKeepalived(whole, ours, peer, settings);
    expect(text).toContain('file "/a/vrrp/haproxy.state"\n');
    expect(text).toContain('script "/a/vrrp/check_script.sh"\n');
  });

  it('never falls back to multicast, where it would meet the pairs of others, while it has no peer', () => {
    const text = renderKeepalived(whole, ours, null, settings);
    expect(text).toContain('    unicast_peer {\n        127.0.0.1\n    }\n');
  });

  const why = whyNoCheck();
  for (const [name, address, alone] of [
    ['an IPv4 VIP', '10.10.0.5', false],
    ['an amphora that is alone', '10.10.0.5', true],
    ['VIPs of both families', '10.10.0.5', false],
    ['an IPv6 VIP', '2001:db8::5', false],
  ] as const) {
    it(`passes keepalived's own check with ${name}`, (context) => {
      if (why) context.skip(why);
      const folder = mkdtempSync(join(tmpdir(), 'vrrp-'));
      onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
      mkdirSync(join(folder, 'vrrp'));
      const script = join(folder, 'vrrp/check_script.sh');
      writeFileSync(script, '#!/bin/sh\n');
      chmodSync(script, 0o755);
      const is6 = address.includes(':');
      const at = (last: number) => (is6 ? `2001:db8::1${last}` : `10.10.0.1${last}`);
      const both = readVrrpExample('42-vrrp-additional-vips-dual-stack').settings;
      const own = {
        ...ours,
        vrrpIp: at(1),
        facts: { ...FAST, platform: { ...FAST.platform, basePath: folder } },
      };
      const network = is6
        ? {
            cidr: '2001:db8::/64',
            gateway: '2001:db8::1',
            hostRoutes: [{ destination: '2001:db9::/64', nexthop: at(9) }],
          }
        : settings.vipNetwork;
      const text = renderKeepalived(
        { ...whole, loadBalancer: { ...whole.loadBalancer, vip: vip(address) } },
        own,
        alone ? null : { ...peer, vrrpIp: at(2) },
        { vipNetwork: network, additionalVips: name.includes('both') ? both.additionalVips : [] },
      );
      const file = join(folder, 'keepalived.conf');
      writeFileSync(file, text);
      expect(complaintsOf(file)).toEqual([]);
    });
  }
});

describe('what no keepalived configuration can be made of', () => {
  const { whole, amphora, peer, settings } = readVrrpExample('40-vrrp-master');
  const lb = whole.loadBalancer;
  const route = { destination: '10.0.0.0/8', nexthop: '1.2.3.4 }' };
  for (const [what, over] of [
    ['a VIP', { whole: { ...whole, loadBalancer: { ...lb, vip: vip(null) } } }],
    ['the interface', { amphora: { ...amphora, interface: 'eth1 }' } }],
    ['vrrpIp', { amphora: { ...amphora, vrrpIp: 'eth1' } }],
    ['vrrpIp', { peer: { ...peer, vrrpIp: '' } }],
    ['role', { amphora: { ...amphora, role: 'STANDALONE' } }],
    ['network', { settings: { ...settings, vipNetwork: { ...settings.vipNetwork, cidr: '10.0.0.0/33' } } }],
    ['gateway', { settings: { ...settings, vipNetwork: { ...settings.vipNetwork, gateway: 'gw' } } }],
    ['host route', { settings: { ...settings, vipNetwork: { ...settings.vipNetwork, hostRoutes: [route] } } }],
    ['authPass', { settings: { ...settings, authPass: 'a\nb' } }],
  ] as const) {
    it(`is refused, and named: ${what}`, () => {
      const given = { whole, amphora, peer, settings, ...over };
      const render = () => renderKeepalived(given.whole, given.amphora as VrrpAmphora, given.peer, given.settings);
      expect(render).toThrowError(VrrpInvalid);
      expect(render).toThrowError(new RegExp(what));
    });
  }
});
