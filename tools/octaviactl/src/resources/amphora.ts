/** What `loadbalancer amphora …` does. For administrators. */
import {
  Amphora,
  AmphoraStatus,
  type ConfirmFenceResponse,
  type FailoverAmphoraResponse,
  AmphoraServiceService as service,
} from '@octavia/proto';
import { CliError } from '../errors.ts';
import type { Action } from '../grammar.ts';
import type { WaitOptions } from '../options.ts';
import type { Session } from '../session.ts';
import { fromWord, toWord } from '../words.ts';
import { waitForFlow } from './flow.ts';
import { loadBalancers } from './load-balancer.ts';
import { collectPages, find, orNull, type Resource, timeView } from './resource.ts';

/** The amphorae in one status; unspecified: all but the deleted ones. */
function amphoraeIn(status: AmphoraStatus): Resource<Amphora> {
  return {
    noun: 'amphora',
    get: (session, id) => session.call(service.getAmphora, { id }),
    async page(session, { name, parentId, pageSize, pageToken }) {
      if (name) return { items: [], nextPageToken: '' }; // They have ids only.
      const query = { loadBalancerId: parentId, status, pageSize, pageToken };
      const reply = await session.call(service.listAmphorae, query);
      return { items: reply.amphorae, nextPageToken: reply.nextPageToken };
    },
    loadBalancerId: (amphora) => amphora.loadBalancerId,
    view: (amphora) => ({
      id: amphora.id,
      loadbalancer_id: orNull(amphora.loadBalancerId),
      status: toWord('AMPHORA_STATUS', amphora.status),
      role: toWord('AMPHORA_ROLE', amphora.role),
      compute_id: orNull(amphora.computeId),
      lb_network_ip: orNull(amphora.lbNetworkIp),
      agent_port: amphora.agentPort || null,
      vrrp_ip: orNull(amphora.vrrpIp),
      ha_ip: orNull(amphora.haIp),
      vrrp_interface: orNull(amphora.vrrpInterface),
      cached_zone: orNull(amphora.cachedZone),
      image_id: orNull(amphora.imageId),
      compute_flavor: orNull(amphora.computeFlavor),
      image_tag: orNull(amphora.imageTag),
      compute_host: orNull(amphora.computeHost),
      origin: orNull(amphora.origin),
      choice_reason: orNull(amphora.choiceReason),
      haproxy_version: orNull(amphora.haproxyVersion),
      cert_expiration: timeView(amphora.certExpiresAt),
      applied_revision: amphora.appliedRevision,
      last_heartbeat_at: timeView(amphora.lastHeartbeatAt),
      reason: orNull(amphora.reason),
      message: orNull(amphora.message),
      fence_confirmed_at: timeView(amphora.fenceConfirmedAt),
      fence_confirmed_by: orNull(amphora.fenceConfirmedBy),
      created_at: timeView(amphora.createdAt),
      updated_at: timeView(amphora.updatedAt),
    }),
    columns: ['id', 'loadbalancer_id', 'status', 'role', 'lb_network_ip', 'ha_ip'],
    get known() {
      return Object.keys(this.view(Amphora.create()));
    },
  };
}

interface ListOptions {
  readonly loadbalancer?: string;
  readonly status?: string;
  readonly limit?: number;
}

export const list: Action<ListOptions> = async (session, _args, { loadbalancer, status, limit }) => {
  const resource = amphoraeIn(status === undefined ? AmphoraStatus.UNSPECIFIED : fromWord('AMPHORA_STATUS', status));
  const parentId = loadbalancer === undefined ? undefined : (await find(session, loadBalancers, loadbalancer)).id;
  const amphorae = await collectPages(session, resource, { parentId }, limit);
  await session.printList(
    amphorae.map((amphora) => resource.view(amphora)),
    resource.columns,
    resource.known,
  );
};

export const show: Action<object> = async (session, [reference = '']) => {
  const resource = amphoraeIn(AmphoraStatus.UNSPECIFIED);
  await session.printObject(resource.view(await find(session, resource, reference)));
};

export const failover: Action<WaitOptions> = async (session, [reference = ''], options) => {
  const old = await find(session, amphoraeIn(AmphoraStatus.UNSPECIFIED), reference);
  const reply = await session.change(service.failoverAmphora, { id: old.id, requestId: session.requestId });
  await report(session, old.id, reply, options);
};

interface FenceOptions extends WaitOptions {
  readonly confirm?: true;
}

export const fence: Action<FenceOptions> = async (session, [reference = ''], options) => {
  const found = await find(session, amphoraeIn(AmphoraStatus.UNSPECIFIED), reference);
  if (!options.confirm) throw unconfirmed(found);
  const reply = await session.change(service.confirmFence, { id: found.id, requestId: session.requestId });
  await report(session, found.id, reply, options);
};

/** What was started, or how it ended: a flow for each load balancer of the amphora. */
async function report(
  session: Session,
  id: string,
  { amphora, flowId, flowIds }: FailoverAmphoraResponse | ConfirmFenceResponse,
  { wait, waitTimeout }: WaitOptions,
): Promise<void> {
  if (wait && flowIds.length > 0) {
    const ends = await Promise.allSettled(
      flowIds.map((flow) => waitForFlow(session, flow, `amphora ${id}`, waitTimeout)),
    );
    for (const end of ends) if (end.status === 'rejected') throw end.reason;
  } else if (amphora) {
    const status = statusOf(amphora);
    await session.printObject({ id: amphora.id, status, flow_id: orNull(flowId), flow_ids: flowIds });
  }
}

/** What confirming means. It is an error, so that no script takes it for done. */
function unconfirmed({ id, computeId, lbNetworkIp, haIp, lastHeartbeatAt }: Amphora): CliError {
  const heard = lastHeartbeatAt ? `was last heard at ${timeView(lastHeartbeatAt)} UTC` : 'was never heard';
  const message = [
    `Nothing was changed. Confirming says that you have made sure that amphora ${id} is isolated:`,
    `it does not run, or is cut off, can answer for no address any more${haIp ? ` (the VIP ${haIp})` : ''}, and will not come back by itself.`,
    'Its VIP then goes to another amphora at once. If it still runs, two machines answer for one address, and',
    'connections break at random until one of them is stopped.',
    'Check first:',
    `  - its instance (${computeId || 'not known'}) is stopped or deleted in the compute service, or its host is switched off;`,
    `  - where that cannot be told: its ports are down on the switch or the hypervisor, and stay down;`,
    `  - nothing answers at its management address (${lbNetworkIp || 'not known'}); it ${heard}.`,
  ].join('\n');
  return new CliError(message, {
    reason: 'CONFIRMATION_MISSING',
    hint: `When all that is so: octaviactl loadbalancer amphora fence --confirm ${id}`,
    details: { id },
  });
}

export const configure: Action<WaitOptions> = async (session, [reference = ''], options) => {
  const found = await find(session, amphoraeIn(AmphoraStatus.UNSPECIFIED), reference);
  const { amphora, flowId } = await session.change(service.configureAmphora, {
    id: found.id,
    requestId: session.requestId,
  });
  if (options.wait) await waitForFlow(session, flowId, `amphora ${found.id}`, options.waitTimeout);
  else if (amphora) await session.printObject({ id: amphora.id, status: statusOf(amphora), flow_id: flowId });
};

function statusOf({ status }: Amphora): string | null {
  return toWord('AMPHORA_STATUS', status);
}
