import { type RefusedChange, Revisions, type Tx } from '@octavia/db';
import { isBeingDeleted, type LoadBalancerTree, type SeatedAmphora } from '@octavia/domain';
import { failoverLoadBalancer } from '@octavia/flows';
import { type Peer, type Problem, renderHaproxy } from '@octavia/render';
import { Superseded } from '../engine/flow.ts';
import { type Context, requesterOf } from '../world.ts';
import { withoutBlocked } from './last-good.ts';

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

/** A configuration for each amphora, all of one state of the load balancer. */
export interface Rendered {
  readonly texts: readonly { readonly amphora: SeatedAmphora; readonly text: string }[];
  readonly problems: readonly Problem[];
}

/** What is pushed, and to whom. */
export interface Plan extends Rendered {
  readonly loadBalancerId: string;
  readonly target: number;
  /** Everything that is desired. */
  readonly tree: LoadBalancerTree;
  /** Changes that are left out of the texts because they are refused. */
  readonly refused: readonly RefusedChange[];
  /** Ids of what is left out of the texts, with nothing known against it: it is pushed anew. */
  readonly undecided: readonly string[];
  /** Amphorae that cannot be reached, or refuse everything, with why: nothing is pushed to them. */
  readonly lost: ReadonlyMap<string, unknown>;
  /** Whether refused changes have been looked for: the amphorae that are not lost have answered, and have texts that none serves. */
  readonly isSearched: boolean;
  /** Writes the configurations for another state, for the same amphorae. */
  render(tree: LoadBalancerTree): Rendered;
}

/**
 * Reads the newest desired revision and writes the configurations for it.
 * @param isSettling whether a flow settles what this push brings, so that what failed before is tried again
 */
export function planPush(
  loadBalancerId: string,
  audience: Audience | undefined,
  context: Context,
  { isSettling = true }: { readonly isSettling?: boolean } = {},
): Promise<Plan> {
  const { transaction, loadBalancers, seats, trees, settlement } = context;
  return transaction(async (tx) => {
    const lb = await loadBalancers.lock(tx, loadBalancerId);
    if (!lb || isBeingDeleted(lb)) throw new Superseded(`Load balancer ${loadBalancerId} is being deleted.`);
    const allocated = await seats.ofLoadBalancer(tx, loadBalancerId, ['ALLOCATED']);
    const targets = allocated.filter(({ id }) => audience === undefined || audience.ids.includes(id));
    if (targets.length === 0) return null;
    if (isSettling) await settlement.retry(tx, loadBalancerId);
    const tree = await trees.read(tx, loadBalancerId);
    if (!tree) throw new Superseded(`Load balancer ${loadBalancerId} is gone.`);
    const peers = allocated
      .filter(({ id }) => audience === undefined || audience.peerIds.includes(id))
      .flatMap(({ id, vrrpIp }) => (vrrpIp === null ? [] : [{ id, vrrpIp }]));
    const render = (state: LoadBalancerTree): Rendered => renderFor(targets, peers, state);
    await linkFolded(
      context,
      tx,
      loadBalancerId,
      Math.min(...targets.map((one) => one.appliedRevision)),
      lb.desiredRevision,
    );
    const target = lb.desiredRevision;
    const plan = {
      loadBalancerId,
      target,
      tree,
      refused: [],
      undecided: [],
      lost: new Map<string, unknown>(),
      isSearched: false,
      render,
      ...render(tree),
    };
    return withoutBlocked(plan, tx);
  }).then((plan) => plan ?? buildInstead(loadBalancerId, context));
}

function renderFor(targets: readonly SeatedAmphora[], peers: readonly Peer[], tree: LoadBalancerTree): Rendered {
  const rendered = targets.map((amphora) => {
    if (!amphora.facts) throw new Error(`Amphora ${amphora.id} serves, and its facts are not known.`);
    return { amphora, ...renderHaproxy(tree, { id: amphora.id, facts: amphora.facts }, peers) };
  });
  return { texts: rendered, problems: rendered[0]?.problems ?? [] };
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
