export interface TextOptions {
  readonly lb: string;
  readonly listener: string;
  readonly socketPath: string;
  readonly basePath: string;
  readonly address: string;
  readonly port: number;
  /** Where members listen; none: the frontend itself answers with `answer`. */
  readonly members?: readonly { readonly id: string; readonly port: number; readonly rest?: string }[];
  readonly pool?: string;
  readonly answer?: string;
  readonly user?: string | null;
  /** More lines for the end of the text. */
  readonly more?: string;
}

/** A configuration as the controller renders it for an agent in loopback mode. */
export function haproxyText(options: TextOptions): string {
  const { lb, listener, socketPath, basePath, address, port, members = [], pool, answer, user, more = '' } = options;
  const backend = pool && `${pool}:${listener}`;
  const serve = backend
    ? `    default_backend ${backend}`
    : `    http-request return status 200 content-type text/plain string "${answer ?? 'ok'}"`;
  return `# Configuration for loadbalancer ${lb}
global
    daemon
${user ? `    user ${user}\n` : ''}    noreuseport
    no strict-limits
    stats socket ${socketPath}/${lb}.sock mode 0666 level user
    server-state-file ${basePath}/${lb}/servers-state
    maxconn 1000

defaults
    retries 3
    option redispatch
    option http-keep-alive

frontend ${listener}
    maxconn 1000
    bind ${address}:${port}
    mode http
    timeout client 50000
${serve}
${backend ? backendText(backend, members) : ''}${more}`;
}

function backendText(name: string, members: NonNullable<TextOptions['members']>): string {
  const servers = members.map(({ id, port, rest = '' }) => `    server ${id} 127.0.0.1:${port} ${rest}\n`);
  return `
backend ${name}
    mode http
    balance roundrobin
    load-server-state-from-file global
    option allbackups
    timeout connect 5000
    timeout server 50000
${servers.join('')}`;
}
