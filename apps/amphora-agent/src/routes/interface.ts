import { isIP } from 'node:net';
import { RequestError } from '../errors.ts';
import type { Route } from '../http/router.ts';
import type { Network } from '../plugged/network.ts';

/** Which interface has an address: keepalived's configuration names it. */
export function interfaceRoutes(network: Network): Route[] {
  return [
    {
      method: 'GET',
      path: '/1.0/interface/:ip',
      maxBodyBytes: 0,
      async handle({ params }) {
        const { ip = '' } = params;
        if (isIP(ip) === 0) throw new RequestError(400, 'Invalid IP address');
        const found = await network.interfaceOf(ip);
        if (found === null) throw new RequestError(404, 'Error interface not found for IP address');
        return { status: 200, body: { message: 'OK', interface: found } };
      },
    },
  ];
}
