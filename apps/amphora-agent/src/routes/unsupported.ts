import { RequestError } from '../errors.ts';
import type { Route } from '../http/router.ts';

const MAX_BODY_BYTES = 1024 * 1024;
const NO_LVS = 'This agent has no LVS: UDP and SCTP listeners need an amphora with LVS';

/** Calls that need LVS: answered as by an amphora whose image lacks it. */
export function unsupportedRoutes(): Route[] {
  return [
    {
      method: 'PUT',
      path: '/1.0/listeners/:amp/:listener/udp_listener',
      maxBodyBytes: MAX_BODY_BYTES,
      handle: () => refuse('Error uploading a UDP listener', NO_LVS),
    },
    {
      method: 'GET',
      path: '/1.0/listeners/:listener/udp_listener',
      maxBodyBytes: 0,
      handle({ params }) {
        throw new RequestError(404, 'UDP Listener Not Found', `No UDP listener with UUID: ${params.listener}`);
      },
    },
  ];
}

function refuse(message: string, details: string): never {
  throw new RequestError(500, message, details);
}
