import { createHash } from 'node:crypto';
import { type Refusal, Revisions, type Tx } from '@octavia/db';
import { type Amphora, type Fault, isBeingDeleted } from '@octavia/domain';
import { ConfigurationRefused } from '@octavia/drivers';
import { failoverLoadBalancer } from '@octavia/flows';
import { type Problem, renderHaproxy } from '@octavia/render';
import { Closing, Superseded } from '../engine/flow.ts';
import { type Context, callOf, endpointOf, requesterOf, tellMilestone, type WorkerStep } from '../world.ts';

/** Requests that the flow's span is linked to, at most. Source: the limit of OpenTelemetry. */
const MAX_LINKS = 128;

const revisions = new Revisions();

export interface PushState {
  readonly loadBalancerId: string;
  /** Set where the amphora is new: only that one is pushed to, and it has no configuration to fall back to. */
  readonly newAmphoraId?: string;
  /** Revision of the load balancer that was pushed. */
  readonly target: number;
  /** Whether the data plane serves it; else it refused, and serves what it did before. */
  readonly isServed: boolean;
}

/** A configuration for each amphora, all of one revision. */
interface Plan {
  readonly target: number;
  readonly texts: readonly { readonly amphora: Amphora; readonly text: string }[];
  readonly problems: readonly Problem[];
}

interface Pushed {
  /** Why it was refused; null: it is served. */
  readonly refusal: Fault | null;
  /** Writes down what the amphorae serve now. */
  record(tx: Tx): Promise<void>;
}

type Outcome =
  | { readonly kind: 'served'; readonly ms: number; readonly isChanged: boolean }
  | { readonly kind: 'refused'; readonly fault: Fault }
  | { readonly kind: 'unreachable'; readonly error: unknown };

/**
 * Makes the amphorae serve the newest desired revision, all at once. One that cannot be reached does not hold the others. What the
 * agent's check refuses is put in ERROR with its words, and the amphorae go on with their last good configuration.
 */
export const pushConfiguration: WorkerStep<PushState> = {
  name: 'push_configuration',
  async do({ loadBalancerId, newAmphoraId }, context) {
    const plan = await planPush(loadBalancerId, newAmphoraId, context);
    const { refusal, record } = await push(plan, loadBalancerId, context);
    if (!refusal) return served(plan, record);
    context.log.warn({ revision: plan.target, reason: refusal.reason }, 'configuration refused');
    await context.transaction(async (tx) => {
      await record(tx);
      await context.settlement.refused(tx, loadBalancerId, plan.target, refusal);
    });
    if (newAmphoraId === undefined) return { target: plan.target, isServed: false };
    // A new amphora serves nothing yet: give it what is left when refused creations are out.
    const rest = await planPush(loadBalancerId, newAmphoraId, context, plan.target);
    const second = await push(rest, loadBalancerId, context);
    if (second.refusal) throw new ConfigurationRefused(second.refusal.message, { loadBalancerId });
    return served(plan, second.record);
  },
};

function served({ target }: Plan, record: Pushed['record']): Closing<Partial<PushState>> {
  return new Closing(async (tx) => {
    await record(tx);
    return { target, isServed: true };
  });
}

/** Reads the newest desired revision and writes the configurations for it. @param atMost the revision of an earlier try of this push */
function planPush(
  loadBalancerId: string,
  newAmphoraId: string | undefined,
  context: Context,
  atMost?: number,
): Promise<Plan> {
  const { transaction, loadBalancers, amphorae, trees, settlement } = context;
  return transaction(async (tx) => {
    const lb = await loadBalancers.lock(tx, loadBalancerId);
    if (!lb || isBeingDeleted(lb)) throw new Superseded(`Load balancer ${loadBalancerId} is being deleted.`);
    const allocated = await amphorae.ofLoadBalancer(tx, loadBalancerId, ['ALLOCATED']);
    const targets = allocated.filter(({ id }) => newAmphoraId === undefined || id === newAmphoraId);
    if (targets.length === 0) return null;
    if (atMost === undefined) await settlement.retry(tx, loadBalancerId);
    const tree = await trees.read(tx, loadBalancerId);
    if (!tree) throw new Superseded(`Load balancer ${loadBalancerId} is gone.`);
    const peers = targets.flatMap(({ id, vrrpIp }) => (vrrpIp === null ? [] : [{ id, vrrpIp }]));
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
    return { target: atMost ?? lb.desiredRevision, texts: rendered, problems: rendered[0]?.problems ?? [] };
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
  tx: Parameters<Parameters<Context['transaction']>[0]>[0],
  loadBalancerId: string,
  above: number,
  upTo: number,
): Promise<void> {
  const own = context.flow.traceContext.traceparent ?? '';
  context.link(await revisions.traceContexts(tx, loadBalancerId, { above, upTo, except: own, limit: MAX_LINKS }));
}

/** Pushes to all. @throws what the amphorae threw, when none could be reached */
async function push(plan: Plan, loadBalancerId: string, context: Context): Promise<Pushed> {
  const outcomes = await Promise.all(
    plan.texts.map(async ({ amphora, text }) => ({
      amphora,
      outcome: await pushOne(amphora, text, loadBalancerId, context),
    })),
  );
  context.signal.throwIfAborted();
  const reached = outcomes.flatMap(({ amphora, outcome }) => (outcome.kind === 'served' ? [{ amphora, outcome }] : []));
  const refusals = outcomes.flatMap(({ outcome }) => (outcome.kind === 'refused' ? [outcome.fault] : []));
  for (const { amphora, outcome } of outcomes) {
    if (outcome.kind !== 'unreachable' || refusals.length > 0) continue;
    if (reached.length === 0) throw outcome.error;
    context.log.warn({ 'octavia.amphora.id': amphora.id, err: outcome.error }, 'amphora not reached, the others serve');
  }
  return {
    refusal: refusals[0] ?? null,
    async record(tx) {
      for (const { amphora, outcome } of reached) {
        const subject = { loadBalancerId, amphoraId: amphora.id };
        const payload = { ms: outcome.ms, revision: plan.target, changed: outcome.isChanged };
        // They travel together.
        await Promise.all([
          tellMilestone(tx, context, 'configuration_pushed', subject, payload),
          context.amphorae.update(tx, amphora.id, { appliedRevision: plan.target }),
        ]);
      }
      if (reached.length > 0) await context.settlement.unrenderable(tx, loadBalancerId, plan.target, problemsOf(plan));
    },
  };
}

function problemsOf({ problems }: Plan): Refusal[] {
  return problems.map(({ objectKind, objectId, reason, message }) => ({
    objectKind,
    objectId,
    fault: { reason, message },
  }));
}

async function pushOne(amphora: Amphora, text: string, loadBalancerId: string, context: Context): Promise<Outcome> {
  const startedAt = performance.now();
  const endpoint = endpointOf(amphora);
  try {
    const isChanged = !(await serves(amphora, text, loadBalancerId, context));
    if (isChanged) {
      // Unknown from here on: a push that is cut off may leave the text on the amphora and the old one in HAProxy.
      if (amphora.appliedRevision > 0) {
        await context.transaction((tx) => context.amphorae.update(tx, amphora.id, { appliedRevision: 0 }));
      }
      await context.amphora.pushHaproxy(endpoint, loadBalancerId, text, callOf(context));
    }
    return { kind: 'served', ms: Math.round(performance.now() - startedAt), isChanged };
  } catch (error) {
    if (error instanceof ConfigurationRefused) {
      return { kind: 'refused', fault: { reason: error.reason, message: error.message } };
    }
    return { kind: 'unreachable', error };
  }
}

/** Whether the amphora has that very text, from a push that ended well. */
async function serves(amphora: Amphora, text: string, loadBalancerId: string, context: Context): Promise<boolean> {
  if (amphora.appliedRevision === 0) return false;
  const etag = await context.amphora.getHaproxyEtag(endpointOf(amphora), loadBalancerId, callOf(context));
  return etag === createHash('md5').update(text).digest('hex');
}
