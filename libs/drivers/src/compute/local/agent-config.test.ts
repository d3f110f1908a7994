import { describe, expect, it } from 'vitest';
import { localAgentConfig } from './agent-config.ts';

const OCTAVIA = `[DEFAULT]
debug = False

[haproxy_amphora]
base_cert_dir = /var/lib/octavia/certs
base_path = /var/lib/octavia
bind_host = ::
bind_port = 9443
haproxy_cmd = /usr/sbin/haproxy

[health_manager]
controller_ip_port_list = 127.0.0.1:5555, 127.0.0.2:5555

[amphora_agent]
# kept: /etc/octavia is where images have it
agent_server_ca = /etc/octavia/certs/client_ca.pem
agent_server_cert = /etc/octavia/certs/server.pem
other = /var/lib/octavia-controller/x:/mnt/etc/octavia
`;
const local = {
  folder: '/data/amphorae/a1',
  bindHost: '127.20.0.9',
  bindPort: 9444,
  controller: { socket_path: '/run/o/1', exclusive_bind: 'True' },
};

describe('the configuration of a local agent', () => {
  it('has the paths of the image below the folder of the amphora', () => {
    const text = localAgentConfig(OCTAVIA, local);
    expect(text).toContain('base_path = /data/amphorae/a1/var/lib/octavia\n');
    expect(text).toContain('base_cert_dir = /data/amphorae/a1/var/lib/octavia/certs\n');
    expect(text).toContain('agent_server_cert = /data/amphorae/a1/etc/octavia/certs/server.pem\n');
  });

  it('leaves comments and other paths that only look alike', () => {
    const text = localAgentConfig(OCTAVIA, local);
    expect(text).toContain('# kept: /etc/octavia is');
    expect(text).toContain('other = /var/lib/octavia-controller/x:/mnt/etc/octavia\n');
    expect(text).toContain('haproxy_cmd = /usr/sbin/haproxy\n');
  });

  it('binds the agent to its own address and tells what only our agent reads', () => {
    const text = localAgentConfig(OCTAVIA, { ...local, haproxyCmd: '/opt/haproxy' });
    expect(text).toContain('bind_host = 127.20.0.9\nbind_port = 9444\nhaproxy_cmd = /opt/haproxy\n');
    expect(text).toMatch(/\[octavia_controller\]\nsocket_path = \/run\/o\/1\nexclusive_bind = True\n$/);
    expect(text).not.toContain('::');
  });

  it('changes nothing more when done twice', () => {
    const once = localAgentConfig(OCTAVIA, local);
    expect(localAgentConfig(once, local)).toBe(once);
  });

  it('is complete even when there was no file', () => {
    expect(localAgentConfig('', local)).toContain('[haproxy_amphora]\nbind_host = 127.20.0.9\nbind_port = 9444\n');
  });
});
