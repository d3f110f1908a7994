import { createHash } from 'node:crypto';
import { RequestError } from '../errors.ts';
import type { LoadBalancer } from '../haproxy/load-balancer.ts';
import type { LoadBalancers } from '../haproxy/load-balancers.ts';
import type { AgentRequest, Answer, Route } from '../http/router.ts';
import type { Network } from '../plugged/network.ts';
import { isUuid } from '../uuid.ts';

/** The text of 20 listeners with 500 members has 60 kB. */
const MAX_CONFIGURATION_BYTES = 16 * 1024 * 1024;

/** MD5 in hex, the identity of a file in this API. */
export function md5(content: Buffer): string {
  return createHash('md5').update(content).digest('hex');
}

/** Upload, start, reload, stop and removal of HAProxy configurations. */
export function loadBalancerRoutes(amphoraId: string, loadBalancers: LoadBalancers, network: Network): Route[] {
  const find = ({ params }: AgentRequest): LoadBalancer => {
    const id = params.lb ?? '';
    const found = loadBalancers.find(id);
    if (!found) throw new RequestError(404, 'Loadbalancer Not Found', `No loadbalancer with UUID: ${id}`);
    return found;
  };

  /** Its files go last: they tell a second try which VIPs are to be given up. */
  const remove = async (id: string): Promise<void> => {
    const lb = loadBalancers.get(id);
    await lb.stop();
    const others = loadBalancers.all().filter((other) => other !== lb);
    await network.unplugVips(lb.vips.filter((vip) => !others.some((other) => other.vips.includes(vip))));
    await lb.remove();
    loadBalancers.forget(id);
  };

  return [
    {
      method: 'PUT',
      path: '/1.0/loadbalancer/:amp/:lb/haproxy',
      maxBodyBytes: MAX_CONFIGURATION_BYTES,
      async handle({ params, body, step }) {
        const { amp = '', lb = '' } = params;
        if (amp !== amphoraId)
          throw new RequestError(400, 'Invalid request', `This is the agent of amphora ${amphoraId}, not of ${amp}`);
        if (!isUuid(lb)) throw new RequestError(400, 'Invalid request', 'The load balancer id is not a UUID');
        await loadBalancers.get(lb).upload(body, step);
        return { status: 202, body: { message: 'OK' }, etag: md5(body) };
      },
    },
    {
      method: 'GET',
      path: '/1.0/loadbalancer/:lb/haproxy',
      maxBodyBytes: 0,
      handle(request) {
        const content = find(request).stored() ?? Buffer.alloc(0);
        return { status: 200, body: content, etag: md5(content) };
      },
    },
    {
      method: 'PUT',
      path: '/1.0/loadbalancer/:lb/:action',
      maxBodyBytes: 0,
      handle: (request) => act(request, () => find(request)),
    },
    {
      method: 'DELETE',
      path: '/1.0/listeners/:lb',
      maxBodyBytes: 0,
      async handle({ params }) {
        const id = params.lb ?? '';
        if (isUuid(id)) await remove(id);
        return { status: 200, body: { message: 'OK' } };
      },
    },
    {
      method: 'GET',
      path: '/1.0/listeners',
      maxBodyBytes: 0,
      handle: () => ({ status: 200, body: loadBalancers.all().flatMap(listenersOf) }),
    },
  ];
}

async function act({ params, step }: AgentRequest, find: () => LoadBalancer): Promise<Answer> {
  const action = (params.action ?? '').toLowerCase();
  if (action !== 'start' && action !== 'reload' && action !== 'stop')
    throw new RequestError(400, 'Invalid Request', `Unknown action: ${action}`);
  const lb = find();
  if (action === 'stop') {
    await lb.stop();
    return accepted(`Listener ${lb.id} stoped`);
  }
  const isDone = action === 'start' && lb.isUpToDate;
  const outcome = isDone ? 'started' : await lb.serve(step);
  if (action === 'reload' && outcome === 'reloaded') return accepted(`Listener ${lb.id} reloaded`);
  return accepted(`Configuration file is valid\nhaproxy daemon for ${lb.id} started`);
}

function accepted(details: string): Answer {
  return { status: 202, body: { message: 'OK', details } };
}

function listenersOf(lb: LoadBalancer) {
  const status = lb.isRunning ? 'ACTIVE' : 'OFFLINE';
  return (lb.storedText()?.frontends ?? []).map(({ id, type }) => ({ status, uuid: id, type }));
}
