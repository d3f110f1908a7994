import { parseArgs } from 'node:util';
import { AgentStartError } from './errors.ts';
import { isUuid } from './uuid.ts';

/** What the command line tells. The amphora id and the data folder are in it so that a process list shows whose process this is. */
export interface Arguments {
  readonly amphoraId: string;
  /** Absolute folder of this amphora; logs, records and, in loopback mode, everything else lies below. */
  readonly dataFolder: string;
  readonly configFile: string;
}

export const HELP = `Usage: node amphora-agent.mjs --amphora-id UUID --data-folder FOLDER --config-file FILE [--installation FOLDER]

The agent of one amphora: answers Octavia's amphora API 1.0 over mutual TLS, runs HAProxy and, in a pair, keepalived,
and sends heartbeats.

  --amphora-id UUID        The amphora. Must equal amphora_id of the configuration file.
  --data-folder FOLDER     Folder of this amphora, absolute. The agent keeps here: processes.json (pid and start time of
                           each process, for fencing), fences.json, stats_counters.json, plugged.json, agent.log.
  --config-file FILE       Octavia's amphora-agent.conf (INI). All other paths come from it.
  --installation FOLDER    Data folder of the controller that made this amphora. Only shown in the process list.
  --help                   This text.

Octavia's keys of the configuration file that count: base_path, base_cert_dir, bind_host, bind_port, haproxy_cmd,
controller_ip_port_list, heartbeat_interval (seconds, 0.05 or more), heartbeat_key, agent_server_ca, agent_server_cert,
agent_request_read_timeout, amphora_id, loadbalancer_topology, debug.
Section [octavia_controller]:
  socket_path      Folder of unix sockets, short: at most 48 bytes. Default: base_path.
  log_socket       Unix socket that HAProxy logs to. Default: none.
  haproxy_user     User that HAProxy becomes when it is started by root. Default: nobody.
  keepalived_cmd   keepalived, for VRRP. Without it, or without CAP_NET_ADMIN and CAP_NET_RAW, the agent cannot be one
                   of a pair. Default: /usr/sbin/keepalived.
  exclusive_bind   True: a port that another process has is refused instead of shared. Default: True.
  strict_limits    True: HAProxy refuses to start below the file descriptors that maxconn wants. Default: False.

PUT /1.0/config changes heartbeat_key, heartbeat_interval, controller_ip_port_list, loadbalancer_topology and debug.
Spans go to OTEL_EXPORTER_OTLP_ENDPOINT (or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT) when it is set.
SIGTERM stops keepalived, HAProxy and the agent. An agent that starts again in the same folder adopts what still runs.
Exit codes: 0 stopped as asked, 64 bad command line, 70 failure, 78 bad configuration.
`;

/**
 * Reads the command line. Returns null when help is asked for.
 * @throws AgentStartError (exit code 64) naming every fault
 */
export function readArguments(argv: readonly string[]): Arguments | null {
  const values = parse(argv);
  if (values.help) return null;
  const faults: string[] = [];
  const need = (name: 'amphora-id' | 'data-folder' | 'config-file'): string => {
    const value = values[name];
    if (!value) faults.push(`--${name} is missing`);
    return value ?? '';
  };
  const found = {
    amphoraId: need('amphora-id').toLowerCase(),
    dataFolder: need('data-folder'),
    configFile: need('config-file'),
  };
  if (found.amphoraId && !isUuid(found.amphoraId)) faults.push('--amphora-id must be a UUID');
  if (found.dataFolder && !found.dataFolder.startsWith('/')) faults.push('--data-folder must be an absolute path');
  if (faults.length > 0) throw new AgentStartError(`${faults.join('; ')}. See --help.`, 64);
  return found;
}

function parse(argv: readonly string[]) {
  try {
    const { values } = parseArgs({
      args: [...argv],
      options: {
        'amphora-id': { type: 'string' },
        'data-folder': { type: 'string' },
        'config-file': { type: 'string' },
        installation: { type: 'string' },
        help: { type: 'boolean', short: 'h' },
      },
    });
    return values;
  } catch (error) {
    throw new AgentStartError(`${error instanceof Error ? error.message : error}. See --help.`, 64);
  }
}
