import type { Tx } from '@octavia/db';
import {
  type Amphora,
  type AmphoraChoice,
  type AmphoraClass,
  type AmphoraRole,
  describeClass,
  type LoadBalancer,
} from '@octavia/domain';
import { v7 as uuidv7 } from 'uuid';
import { type Context, classFor } from '../world.ts';

/** An amphora that is the load balancer's from now on, and why that one. */
export interface Chosen {
  readonly amphora: Amphora;
  readonly choice: AmphoraChoice;
}

/**
 * Gives a load balancer, whose row is locked, a ready spare of its class (ALLOCATED), else records one that is to be built (BOOTING).
 * What an earlier try was given is the caller's to find. Of a pair, each is on a compute host of its own where there are several. Two
 * transactions never get one amphora. The choice is kept with the amphora and told as an event.
 */
export async function chooseAmphora(tx: Tx, lb: LoadBalancer, role: AmphoraRole, context: Context): Promise<Chosen> {
  const wanted = classFor(lb, context.settings);
  const peers = await peersOf(tx, lb, role, context);
  const chosen =
    (await takeSpare(tx, lb, role, wanted, peers, context)) ?? (await recordNew(tx, lb, role, wanted, peers, context));
  await tell(tx, lb, role, chosen, context);
  return chosen;
}

/** The others of a pair, also those that are about to be replaced. Their hosts had better not be its own. */
export async function peersOf(
  tx: Tx,
  { id, topology }: Pick<LoadBalancer, 'id' | 'topology'>,
  role: AmphoraRole | null,
  { amphorae }: Pick<Context, 'amphorae'>,
): Promise<readonly Amphora[]> {
  if (topology !== 'ACTIVE_STANDBY') return [];
  const all = await amphorae.ofLoadBalancer(tx, id, ['BOOTING', 'ALLOCATED']);
  return all.filter((one) => one.role !== role);
}

async function takeSpare(
  tx: Tx,
  lb: LoadBalancer,
  role: AmphoraRole,
  wanted: AmphoraClass,
  peers: readonly Amphora[],
  { amphorae, compute }: Context,
): Promise<Chosen | null> {
  const oldest = `the oldest ready spare of its class (${describeClass(wanted)})`;
  const hosts = peers.flatMap(({ computeHost }) => computeHost ?? []);
  const amphora = await amphorae.claimSpare(tx, wanted, compute.name, {
    loadBalancerId: lb.id,
    projectId: lb.projectId,
    role,
    avoidedHosts: hosts,
    reasons: {
      apart: hosts.length > 0 ? `${oldest}, on another compute host than its peer` : oldest,
      together: `${oldest}, on the compute host of its peer, because no spare is on another`,
    },
  });
  return amphora?.choice ? { amphora, choice: amphora.choice } : null;
}

async function recordNew(
  tx: Tx,
  lb: LoadBalancer,
  role: AmphoraRole,
  wanted: AmphoraClass,
  peers: readonly Amphora[],
  { amphorae, compute, flow }: Context,
): Promise<Chosen> {
  const id = uuidv7();
  const { booting, others } = await amphorae.sparesBeside(tx, wanted, compute.name);
  const beside = [
    ...(booting > 0 ? [`${booting} of it being built`] : []),
    ...(others > 0 ? [`${others} ready of other classes`] : []),
  ];
  const choice: AmphoraChoice = {
    origin: 'NEW',
    reason:
      `no ready spare of its class (${describeClass(wanted)})` +
      (beside.length > 0 ? `; ${beside.join(', ')}` : '') +
      (peers.length > 0 ? '; built apart from its peer where the compute service has another host' : ''),
  };
  await amphorae.insert(tx, {
    id,
    loadBalancerId: lb.id,
    projectId: lb.projectId,
    role,
    author: flow.author,
    requestId: flow.requestId,
    class: wanted,
    computeDriver: compute.name,
    choice,
  });
  return { amphora: await amphorae.get(tx, id), choice };
}

async function tell(
  tx: Tx,
  lb: LoadBalancer,
  role: AmphoraRole,
  { amphora, choice }: Chosen,
  { events, flow }: Context,
): Promise<void> {
  const { computeFlavor, imageTag, zone } = amphora.class;
  await events.append(tx, {
    loadBalancerId: lb.id,
    projectId: lb.projectId,
    author: flow.author,
    requestId: flow.requestId,
    kind: 'amphora_chosen',
    objectKind: 'amphora',
    objectId: amphora.id,
    payload: {
      ...choice,
      role,
      compute_flavor: computeFlavor,
      image_tag: imageTag,
      zone,
      compute_host: amphora.computeHost,
      flow_id: flow.id,
    },
    traceparent: flow.traceContext.traceparent,
  });
}
