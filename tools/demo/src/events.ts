import type { Api } from './api.ts';
import type { Happening } from './timeline.ts';

/** More than a failover of one load balancer tells. */
const PAGE_SIZE = 200;

/** What happened to a load balancer lately, newest first. */
export async function happeningsOf(api: Api, loadBalancerId: string): Promise<Happening[]> {
  const request = { loadBalancerId, after: '', before: '', newestFirst: true, pageSize: PAGE_SIZE };
  const { events } = await api.listEvents(request, api.as);
  return events.map(({ kind, objectId, happenedAt, payload }) => ({
    kind,
    objectId,
    at: happenedAt?.getTime() ?? 0,
    payload: payload ?? {},
  }));
}
