import type { Guest, Tx } from '@octavia/db';
import {
  type AmphoraChoice,
  type AmphoraClass,
  type AmphoraRole,
  describeClass,
  type LoadBalancer,
  type SeatedAmphora,
} from '@octavia/domain';
import { v7 as uuidv7 } from 'uuid';
import { type Context, classFor } from '../world.ts';

/** An amphora that is the load balancer's from now on, and why that one. */
export interface Chosen {
  readonly amphora: SeatedAmphora;
  readonly choice: AmphoraChoice;
}

/** What is to be had, and where it had better not be. */
interface Wish {
  readonly lb: LoadBalancer;
  readonly guest: Guest;
  readonly class: AmphoraClass;
  readonly apart: readonly Apart[];
}

/** An amphora that it had better not share a compute host with. */
interface Apart {
  readonly amphoraId: string;
  readonly computeHost: string | null;
}

/**
 * Gives a load balancer, whose row is locked, a seat on an amphora that serves others of its project and has room (ALLOCATED), else a
 * ready spare of its class (ALLOCATED), else records one that is to be built (BOOTING). What an earlier try was given is the caller's to
 * find. Of a pair, and of an apolocation group, each is on a compute host of its own where there are several. Two transactions never get
 * one amphora beyond its limit. The choice is kept with the seat and told as an event.
 * @param refused ids of amphorae that are of no use
 */
export async function chooseAmphora(
  tx: Tx,
  lb: LoadBalancer,
  role: AmphoraRole,
  refused: readonly string[],
  context: Context,
): Promise<Chosen> {
  const { id: loadBalancerId, projectId, apolocationGroup } = lb;
  const wish: Wish = {
    lb,
    guest: { loadBalancerId, projectId, role, apolocationGroup, seatLimit: seatLimitOf(lb, context.settings) },
    class: classFor(lb, context.settings),
    apart: await apartFrom(tx, lb, role, context),
  };
  const chosen =
    (await join(tx, wish, refused, context)) ??
    (await takeSpare(tx, wish, context)) ??
    (await recordNew(tx, wish, context));
  await tell(tx, lb, role, chosen, context);
  return chosen;
}

/** Load balancers that its amphora may serve. Each of a pair has one alone: there is one keepalived, with one configuration. */
function seatLimitOf({ topology, placement }: LoadBalancer, { colocationLimit }: Context['settings']): number {
  return topology === 'SINGLE' ? (placement?.colocationLimit ?? colocationLimit) : 1;
}

/** The others of a pair, also those that are about to be replaced, and the amphorae of its apolocation group. */
export async function apartFrom(
  tx: Tx,
  { id: loadBalancerId, topology, projectId, apolocationGroup }: LoadBalancer,
  role: AmphoraRole,
  { seats }: Pick<Context, 'seats'>,
): Promise<readonly Apart[]> {
  const group = await seats.ofGroup(tx, { loadBalancerId, projectId, apolocationGroup });
  if (topology !== 'ACTIVE_STANDBY') return group;
  const all = await seats.ofLoadBalancer(tx, loadBalancerId, ['BOOTING', 'ALLOCATED']);
  const peers = all.filter((one) => one.role !== role);
  return [...peers.map(({ id, computeHost }) => ({ amphoraId: id, computeHost })), ...group];
}

/** Whom it is kept apart from, for people. */
function othersOf({ topology, apolocationGroup }: LoadBalancer): string {
  const others = [
    ...(topology === 'ACTIVE_STANDBY' ? ['its peer'] : []),
    ...(apolocationGroup === null ? [] : [`apolocation group ${apolocationGroup}`]),
  ];
  return others.join(' and ');
}

async function join(
  tx: Tx,
  { guest, class: wanted }: Wish,
  refused: readonly string[],
  { seats, compute }: Context,
): Promise<Chosen | null> {
  const amphora = await seats.join(tx, wanted, compute.name, guest, {
    refused,
    reason: (count, limit) => `it serves the project and has room: load balancer ${count} of ${limit}`,
  });
  return amphora?.choice ? { amphora, choice: amphora.choice } : null;
}

async function takeSpare(tx: Tx, { lb, guest, class: wanted, apart }: Wish, context: Context): Promise<Chosen | null> {
  const { seats, compute } = context;
  const oldest = `${noRoom(guest)}the oldest ready spare of its class (${describeClass(wanted)})`;
  const hosts = apart.flatMap(({ computeHost }) => computeHost ?? []);
  const others = othersOf(lb);
  const amphora = await seats.claimSpare(tx, wanted, compute.name, guest, {
    hosts,
    apart: hosts.length > 0 ? `${oldest}, on another compute host than ${others}` : oldest,
    together: `${oldest}, on the compute host of ${others}, because no spare is on another`,
  });
  return amphora?.choice ? { amphora, choice: amphora.choice } : null;
}

async function recordNew(tx: Tx, { lb, guest, class: wanted, apart }: Wish, context: Context): Promise<Chosen> {
  const { amphorae, seats, compute, flow } = context;
  const amphoraId = uuidv7();
  const { booting, others } = await amphorae.sparesBeside(tx, wanted, compute.name);
  const beside = [
    ...(booting > 0 ? [`${booting} of it being built`] : []),
    ...(others > 0 ? [`${others} ready of other classes`] : []),
  ];
  const choice: AmphoraChoice = {
    origin: 'NEW',
    reason:
      `${noRoom(guest)}no ready spare of its class (${describeClass(wanted)})` +
      (beside.length > 0 ? `; ${beside.join(', ')}` : '') +
      (apart.length > 0 ? `; built apart from ${othersOf(lb)} where the compute service has another host` : ''),
  };
  await amphorae.insert(tx, {
    id: amphoraId,
    projectId: lb.projectId,
    author: flow.author,
    requestId: flow.requestId,
    class: wanted,
    computeDriver: compute.name,
  });
  await seats.reserve(tx, amphoraId, guest, choice);
  return { amphora: await seats.get(tx, { amphoraId, loadBalancerId: lb.id }), choice };
}

function noRoom({ seatLimit, apolocationGroup }: Guest): string {
  if (seatLimit === 1) return '';
  const apart = apolocationGroup === null ? '' : `, apart from apolocation group ${apolocationGroup}`;
  return `no amphora of the project has room${apart}; `;
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
