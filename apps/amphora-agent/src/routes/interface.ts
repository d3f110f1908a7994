import { isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import { RequestError } from '../errors.ts';
import type { Route } from '../http/router.ts';
import { explodeAddress } from '../plugged/address.ts';
import type { PluggedAddresses } from '../plugged/plugged-addresses.ts';

/** Which interface has an address: in a namespace of its own the kernel knows, in loopback mode what was plugged. */
export function interfaceRoutes(plugged: PluggedAddresses): Route[] {
  return [
    {
      method: 'GET',
      path: '/1.0/interface/:ip',
      maxBodyBytes: 0,
      handle({ params }) {
        const { ip = '' } = params;
        if (isIP(ip) === 0) throw new RequestError(400, 'Invalid IP address');
        const found = interfaceOf(ip) ?? (plugged.has(ip) ? plugged.interface : null);
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
