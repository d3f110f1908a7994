import { RequestError } from '../errors.ts';
import type { Route } from '../http/router.ts';

const MAX_BODY_BYTES = 1024 * 1024;
const NO_LVS = 'This agent has no keepalived: UDP and SCTP listeners need an amphora with LVS';
const NO_VRRP = 'This agent has no keepalived: ACTIVE_STANDBY needs an amphora with VRRP';

/** Calls that need keepalived: answered as by an amphora whose image lacks it. */
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
    {
      method: 'PUT',
      path: '/1.0/vrrp/:action',
      maxBodyBytes: MAX_BODY_BYTES,
      handle({ params }) {
        const action = (params.action ?? '').toLowerCase();
        if (!['upload', 'start', 'stop', 'reload'].includes(action))
          throw new RequestError(400, 'Invalid Request', `Unknown action: ${action}`);
        return refuse(`Failed to ${action} octavia-keepalived service`, NO_VRRP);
      },
    },
  ];
}

function refuse(message: string, details: string): never {
  throw new RequestError(500, message, details);
}
