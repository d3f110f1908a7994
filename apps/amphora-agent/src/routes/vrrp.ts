import { RequestError } from '../errors.ts';
import type { Answer, Route } from '../http/router.ts';
import type { Keepalived } from '../keepalived/keepalived.ts';
import { md5 } from './load-balancer.ts';

/** The text of a pair with a hundred routes has 10 kB. */
const MAX_BODY_BYTES = 1024 * 1024;

/** VRRP of a pair's amphora: upload of keepalived's configuration, start, reload and stop. */
export function vrrpRoutes(keepalived: Keepalived): Route[] {
  return [
    {
      method: 'PUT',
      path: '/1.0/vrrp/upload',
      maxBodyBytes: MAX_BODY_BYTES,
      handle({ body }) {
        keepalived.upload(body);
        return { status: 200, body: { message: 'OK' }, etag: md5(body) };
      },
    },
    {
      method: 'PUT',
      path: '/1.0/vrrp/:action',
      maxBodyBytes: MAX_BODY_BYTES,
      handle: ({ params }) => act(keepalived, (params.action ?? '').toLowerCase()),
    },
  ];
}

async function act(keepalived: Keepalived, action: string): Promise<Answer> {
  switch (action) {
    case 'start':
      return accepted(await keepalived.start());
    case 'reload':
      await keepalived.reload();
      return accepted('reloaded');
    case 'stop':
      await keepalived.stop();
      return accepted('stoped');
    default:
      throw new RequestError(400, 'Invalid Request', `Unknown action: ${action}`);
  }
}

/** `stoped` is Octavia's spelling. */
function accepted(done: 'started' | 'reloaded' | 'stoped'): Answer {
  return { status: 202, body: { message: 'OK', details: `keepalived ${done}` } };
}
