import { isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import { RequestError } from '../errors.ts';
import type { Route } from '../http/router.ts';
import { explodeAddress } from '../plugged/address.ts';
import type { Network } from '../plugged/network.ts';

/** Which interface has an address: the kernel knows, but for addresses of loopback mode, which are on no interface of their own. */
export function interfaceRoutes(network: Network): Route[] {
  return [
    {
      method: 'GET',
      path: '/1.0/interface/:ip',
      maxBodyBytes: 0,
      async handle({ params }) {
        const { ip = '' } = params;
        if (isIP(ip) === 0) throw new RequestError(400, 'Invalid IP address');
        const found = interfaceOf(ip) ?? (await network.interfaceOf(ip));
        if (found === null) throw new RequestError(404, 'Error interface not found for IP address');
        return { status: 200, body: { message: 'OK', interface: found } };
      },
    },
  ];
}

function interfaceOf(address: string): string | null {
  const wanted = explodeAddress(address);
  for (const [name, addresses] of Object.entries(networkInterfaces())) {
    if (addresses?.some((one) => explodeAddress(one.address) === wanted)) return name;
  }
  return null;
}
