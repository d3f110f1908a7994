import { createServer } from 'node:net';
import { codeOf } from '../errors.ts';
import { mayBindLowPorts } from './command.ts';
import type { Address } from './text.ts';

/**
 * Binds each address for a moment. HAProxy would find out by itself which it cannot have, but only after it has paused the listeners
 * that serve now, and with SO_REUSEPORT it would not even notice that another process has the port.
 * @returns null: all can be had. Else the first that cannot, the port and what to do
 */
export async function unbindable(addresses: readonly Address[], haproxyCommand: string): Promise<string | null> {
  for (const address of addresses) {
    const code = await bindError(address);
    if (code === null) continue;
    if (code === 'EACCES' && (await mayBindLowPorts(haproxyCommand))) continue;
    return explain(address, code);
  }
  return null;
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
