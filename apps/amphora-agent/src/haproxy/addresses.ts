import { createServer } from 'node:net';
import { codeOf, RequestError } from '../errors.ts';
import { mayBindLowPorts } from './command.ts';
import type { Address } from './text.ts';

/**
 * Binds each address for a moment, and throws when one cannot be had. HAProxy would find out by itself, but only after it has paused
 * the listeners that serve now, and with SO_REUSEPORT it would not even notice that another process has the port.
 * @throws RequestError 500 that names the address, the port and what to do
 */
export async function assertBindable(addresses: readonly Address[], haproxyCommand: string): Promise<void> {
  for (const address of addresses) {
    const code = await bindError(address);
    if (code === null) continue;
    if (code === 'EACCES' && (await mayBindLowPorts(haproxyCommand))) continue;
    throw new RequestError(500, 'Error starting haproxy', explain(address, code));
  }
}

/** The error number's name, or null when the address is free. */
function bindError({ host, port }: Address): Promise<string | null> {
  return new Promise((resolve) => {
    const server = createServer((socket) => socket.destroy());
    server.once('error', (error) => resolve(codeOf(error) || error.message));
    const isIpv6 = host.includes(':');
    server.listen({ host, port, backlog: 1, exclusive: true, ipv6Only: isIpv6 }, () =>
      server.close(() => resolve(null)),
    );
  });
}

function explain({ host, port }: Address, code: string): string {
  const where = `address ${host} port ${port}`;
  switch (code) {
    case 'EADDRINUSE':
      return `${where}: another process of this machine has it. Choose another port, or stop that process and change the listener to try again`;
    case 'EACCES':
      return `${where}: port ${port} needs root or CAP_NET_BIND_SERVICE: choose a port above 1023`;
    case 'EADDRNOTAVAIL':
      return `${where}: this machine does not have the address. Choose an address of this machine`;
    default:
      return `${where}: it cannot be bound (${code})`;
  }
}
