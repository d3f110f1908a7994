import { Revisions, type Tx } from '@octavia/db';
import { type Amphora, isBeingDeleted, type LoadBalancerTree } from '@octavia/domain';
import { failoverLoadBalancer } from '@octavia/flows';
import { type Problem, renderHaproxy } from '@octavia/render';
import { Superseded } from '../engine/flow.ts';
import { type Context, requesterOf } from '../world.ts';

/** Requests that the flow's span is linked to, at most. Source: the limit of OpenTelemetry. */
const MAX_LINKS = 128;

const revisions = new Revisions();

/** Who is pushed to. Absent: every amphora that serves, or is to. */
export interface Audience {
  /** Ids of the amphorae that get a configuration. */
  readonly ids: readonly string[];
  /** Ids of the amphorae that share what they know of clients: those of a pair, once all are in service. */
  readonly peerIds: readonly string[];
}

/** A configuration for each amphora, all of one revision. */
export interface Plan {
  readonly target: number;
  readonly tree: LoadBalancerTree;
  readonly texts: readonly { readonly amphora: Amphora; readonly text: string }[];
  readonly problems: readonly Problem[];
}

/**
 * Reads the newest desired revision and writes the configurations for it.
 * @param atMost the revision of an earlier try of this push
 * @param isSettling whether a flow settles what this push brings, so that what failed before is tried again
 */
export function planPush(
  loadBalancerId: string,
  audience: Audience | undefined,
  context: Context,
  { atMost, isSettling = atMost === undefined }: { readonly atMost?: number; readonly isSettling?: boolean } = {},
): Promise<Plan> {
  const { transaction, loadBalancers, amphorae, trees, settlement } = context;
  return transaction(async (tx) => {
    const lb = await loadBalancers.lock(tx, loadBalancerId);
    if (!lb || isBeingDeleted(lb)) throw new Superseded(`Load balancer ${loadBalancerId} is being deleted.`);
    const allocated = await amphorae.ofLoadBalancer(tx, loadBalancerId, ['ALLOCATED']);
    const targets = allocated.filter(({ id }) => audience === undefined || audience.ids.includes(id));
    if (targets.length === 0) return null;
    if (isSettling) await settlement.retry(tx, loadBalancerId);
    const tree = await trees.read(tx, loadBalancerId);
    if (!tree) throw new Superseded(`Load balancer ${loadBalancerId} is gone.`);
    const peers = allocated
      .filter(({ id }) => audience === undefined || audience.peerIds.includes(id))
      .flatMap(({ id, vrrpIp }) => (vrrpIp === null ? [] : [{ id, vrrpIp }]));
    const rendered = targets.map((amphora) => {
      if (!amphora.facts) throw new Error(`Amphora ${amphora.id} serves, and its facts are not known.`);
      return { amphora, ...renderHaproxy(tree, { id: amphora.id, facts: amphora.facts }, peers) };
    });
    await linkFolded(
      context,
      tx,
      loadBalancerId,
      Math.min(...targets.map((one) => one.appliedRevision)),
      lb.desiredRevision,
    );
    return { target: atMost ?? lb.desiredRevision, tree, texts: rendered, problems: rendered[0]?.problems ?? [] };
  }).then((plan) => plan ?? buildInstead(loadBalancerId, context));
}

/** A load balancer whose creation failed has no amphora: a failover builds one, and settles everything. */
async function buildInstead(loadBalancerId: string, context: Context): Promise<never> {
  const { transaction, loadBalancers, flows, flow, settings } = context;
  await transaction(async (tx) => {
    await loadBalancers.lock(tx, loadBalancerId);
    const open = await flows.open(tx, loadBalancerId);
    if (open.some(({ id, name }) => id !== flow.id && name.endsWith('.failover'))) return;
    const options = { deadlineMs: settings.flowDeadlineMs };
    await flows.start(tx, failoverLoadBalancer(loadBalancerId, requesterOf(context), options));
  });
  throw new Superseded(`Load balancer ${loadBalancerId} has no amphora; a failover builds one.`);
}

/** Links the flow's span to the requests whose changes this push serves beside its own. */
async function linkFolded(
  context: Context,
  tx: Tx,
  loadBalancerId: string,
  above: number,
  upTo: number,
): Promise<void> {
  const own = context.flow.traceContext.traceparent ?? '';
  context.link(await revisions.traceContexts(tx, loadBalancerId, { above, upTo, except: own, limit: MAX_LINKS }));
}
