import { DomainError, type Topology } from '@octavia/domain';
import { hasControlCharacter } from './text.ts';

/** What the agent of an amphora is told when it boots. Defaults are Octavia's. */
export interface AgentConfig {
  readonly amphoraId: string;
  readonly topology: Topology;
  /** `ip:port`, IPv6 in brackets: names are resolved by the agent once at most. */
  readonly controllerIpPortList: readonly string[];
  /** Written in seconds. Agents of foreign images take whole seconds only. Default: 10000. */
  readonly heartbeatIntervalMs?: number;
  /** The key that all amphorae share. */
  readonly heartbeatKey: string;
  readonly debug?: boolean;
  readonly baseCertDir?: string;
  readonly basePath?: string;
  readonly bindHost?: string;
  readonly bindPort?: number;
  readonly haproxyCmd?: string;
  readonly userLogFacility?: number;
  readonly administrativeLogFacility?: number;
  readonly agentServerCa?: string;
  readonly agentServerCert?: string;
  readonly agentServerNetworkDir?: string;
  /** Seconds. Default: 180. */
  readonly agentRequestReadTimeout?: number;
  readonly agentTlsProtocol?: string;
  /** Further keys by section, for our own agent; Octavia's agent ignores keys that it does not know. */
  readonly extra?: Readonly<Record<string, Readonly<Record<string, string | number | boolean>>>>;
}

/** A value that the agent's parser would read as something else. The value itself is not told: it may be the key. */
export class AgentSettingInvalid extends DomainError {
  readonly kind = 'invalid';
  readonly reason = 'AGENT_SETTING_INVALID';
  constructor(setting: string, rule: string) {
    super(`${setting} cannot be written into amphora-agent.conf: ${rule}. Choose another value.`, { setting, rule });
  }
}

type Value = string | number | boolean;

/**
 * Renders amphora-agent.conf, an INI file of oslo.config with `key = value` in single spaces. Nothing is escaped: Octavia's
 * own renderer writes `&` of a heartbeat key as `&amp;`, and then no heartbeat is accepted.
 * @throws AgentSettingInvalid
 */
export function renderAgentConfig(config: AgentConfig): string {
  const sections: [string, Record<string, Value>][] = [
    [
      'DEFAULT',
      {
        debug: config.debug ?? false,
        use_syslog: true,
        syslog_log_facility: `LOG_LOCAL${config.administrativeLogFacility ?? 1}`,
      },
    ],
    ['haproxy_amphora', haproxyAmphora(config)],
    [
      'health_manager',
      {
        controller_ip_port_list: config.controllerIpPortList.join(', '),
        heartbeat_interval: (config.heartbeatIntervalMs ?? 10_000) / 1000,
        heartbeat_key: config.heartbeatKey,
      },
    ],
    ['amphora_agent', amphoraAgent(config)],
    ['controller_worker', { loadbalancer_topology: config.topology }],
  ];
  for (const [name, values] of Object.entries(config.extra ?? {})) {
    const known = sections.find(([section]) => section === name);
    if (known) Object.assign(known[1], values);
    else sections.push([name, { ...values }]);
  }
  return sections.map(([name, values]) => sectionText(name, values)).join('\n');
}

function haproxyAmphora(config: AgentConfig): Record<string, Value> {
  return {
    base_cert_dir: config.baseCertDir ?? '/var/lib/octavia/certs',
    base_path: config.basePath ?? '/var/lib/octavia',
    bind_host: config.bindHost ?? '::',
    bind_port: config.bindPort ?? 9443,
    haproxy_cmd: config.haproxyCmd ?? '/usr/sbin/haproxy',
    user_log_facility: config.userLogFacility ?? 0,
    administrative_log_facility: config.administrativeLogFacility ?? 1,
  };
}

function amphoraAgent(config: AgentConfig): Record<string, Value> {
  return {
    agent_server_ca: config.agentServerCa ?? '/etc/octavia/certs/client_ca.pem',
    agent_server_cert: config.agentServerCert ?? '/etc/octavia/certs/server.pem',
    ...(config.agentServerNetworkDir === undefined ? {} : { agent_server_network_dir: config.agentServerNetworkDir }),
    agent_request_read_timeout: config.agentRequestReadTimeout ?? 180,
    amphora_id: config.amphoraId,
    amphora_udp_driver: 'keepalived_lvs',
    agent_tls_protocol: config.agentTlsProtocol ?? 'TLSv1.2',
  };
}

function sectionText(name: string, values: Readonly<Record<string, Value>>): string {
  if (!/^\w+$/.test(name)) throw new AgentSettingInvalid('A section', 'its name must be letters, digits and _');
  const lines = Object.entries(values).map(([key, value]) => `${key} = ${checked(`${name}.${key}`, value)}`);
  return `[${name}]\n${lines.join('\n')}\n`;
}

function checked(setting: string, value: Value): string {
  if (!/^\w+\.\w+$/.test(setting)) throw new AgentSettingInvalid('A key', 'its name must be letters, digits and _');
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  if (typeof value === 'number') {
    if (!Number.isFinite(value) || value < 0) throw new AgentSettingInvalid(setting, 'it must be a number from 0');
    return String(value);
  }
  const refuse = (rule: string): never => {
    throw new AgentSettingInvalid(setting, rule);
  };
  if (value === '') refuse('it must not be empty');
  if (hasControlCharacter(value)) refuse('it must not have control characters');
  if (value !== value.trim()) refuse('it must not begin or end with white space, which is cut off');
  if (value.includes('$')) refuse('it must not have $, which is replaced');
  if (/^(["']).*\1$/.test(value)) refuse('it must not be in quotes, which are cut off');
  return value;
}
