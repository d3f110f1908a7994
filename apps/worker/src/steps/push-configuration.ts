import type { Refusal, Tx } from '@octavia/db';
import type { Amphora, Fault } from '@octavia/domain';
import { AmphoraUnavailable, ConfigurationRefused } from '@octavia/drivers';
import { Closing } from '../engine/flow.ts';
import { type Context, tellMilestone, type WorkerStep } from '../world.ts';
import { startMending } from './mending.ts';
import { type Audience, type Plan, planPush } from './plan-push.ts';
import { type Outcome, pushOne, type Served } from './push-one.ts';
import { hasRound, inRound, type RoundsState, roundOf } from './rounds.ts';

/**
 * What the slower amphora of a pair has left once the other one serves, in milliseconds: a little more than a reload takes. One that could
 * not be reached the last time hardly gets any.
 */
const GRACE_MS = 1_000;
const GRACE_OF_LOST_MS = 100;

export interface PushState {
  readonly loadBalancerId: string;
  /** Revision of the load balancer that was pushed. */
  readonly target: number;
  /** Whether the data plane serves it; else it refused, and serves what it did before. */
  readonly isServed: boolean;
}

interface Reached {
  readonly amphora: Amphora;
  readonly outcome: Served;
}

interface Pushed {
  /** Why it was refused; null: it is served. */
  readonly refusal: Fault | null;
  /** Writes down what the amphorae serve now. */
  record(tx: Tx): Promise<void>;
}

/**
 * Makes the amphorae serve the newest desired revision, all at once. One that cannot be reached does not hold the others: it is mended.
 * What the agent's check refuses is put in ERROR with its words, and the amphorae go on with their last good configuration.
 */
export const pushConfiguration: WorkerStep<PushState> = {
  name: 'push_configuration',
  async do({ loadBalancerId }, context) {
    const plan = await planPush(loadBalancerId, undefined, context);
    const { refusal, record } = await pushToServing(plan, loadBalancerId, context);
    if (!refusal) return served(plan, record);
    await refused(refusal, plan, record, loadBalancerId, context);
    return { target: plan.target, isServed: false };
  },
};

/**
 * Makes the amphorae that come into service in a round serve the newest desired revision. They have no configuration to fall back to:
 * where it is refused they get what is left when refused creations are out.
 */
export function pushToComers(round: number): WorkerStep<PushState & RoundsState> {
  return {
    name: inRound('push_configuration', round),
    isNeeded: hasRound(round),
    async do(state, context) {
      const { loadBalancerId } = state;
      const all = await context.amphorae.ofLoadBalancer(context.reader, loadBalancerId);
      const { comers, stayers } = roundOf(state, round, all);
      const ids = comers.map(({ id }) => id);
      const audience: Audience = { ids, peerIds: [...ids, ...stayers.map(({ id }) => id)] };
      const plan = await planPush(loadBalancerId, audience, context);
      const { refusal, record } = await pushToAll(plan, loadBalancerId, context);
      if (!refusal) return served(plan, record);
      await refused(refusal, plan, record, loadBalancerId, context);
      const rest = await planPush(loadBalancerId, audience, context, { atMost: plan.target });
      const second = await pushToAll(rest, loadBalancerId, context);
      if (second.refusal) throw new ConfigurationRefused(second.refusal.message, { loadBalancerId });
      return served(plan, second.record);
    },
  };
}

function served({ target }: Plan, record: Pushed['record']): Closing<Partial<PushState>> {
  return new Closing(async (tx) => {
    await record(tx);
    return { target, isServed: true };
  });
}

async function refused(
  refusal: Fault,
  { target }: Plan,
  record: Pushed['record'],
  loadBalancerId: string,
  context: Context,
): Promise<void> {
  context.log.warn({ revision: target, reason: refusal.reason }, 'configuration refused');
  await context.transaction(async (tx) => {
    await record(tx);
    await context.settlement.refused(tx, loadBalancerId, target, refusal);
  });
}

/** Every amphora must take it. @throws what the first one threw that could not be reached */
async function pushToAll(plan: Plan, loadBalancerId: string, context: Context): Promise<Pushed> {
  const outcomes = await Promise.all(
    plan.texts.map(async ({ amphora, text }) => ({
      amphora,
      outcome: await pushOne(amphora, text, loadBalancerId, context),
    })),
  );
  context.signal.throwIfAborted();
  const refusal = refusalOf(outcomes);
  const lost = outcomes.find(({ outcome }) => outcome.kind === 'unreachable');
  if (!refusal && lost?.outcome.kind === 'unreachable') throw lost.outcome.error;
  return { refusal, record: (tx) => record(tx, plan, outcomes, loadBalancerId, context) };
}

/**
 * One amphora that takes it suffices: the others of a pair, if they cannot be reached, are mended.
 * @throws what an amphora threw, when none could be reached
 */
async function pushToServing(plan: Plan, loadBalancerId: string, context: Context): Promise<Pushed> {
  const outcomes = await pushUntilOneServes(plan, loadBalancerId, context);
  context.signal.throwIfAborted();
  const refusal = refusalOf(outcomes);
  const lost = outcomes.flatMap(({ amphora, outcome }) =>
    outcome.kind === 'unreachable' ? [{ amphora, error: outcome.error }] : [],
  );
  const isAnyReached = outcomes.some(({ outcome }) => outcome.kind === 'served');
  const isPair = outcomes.length > 1;
  const [first] = lost;
  if (first && !refusal && !isAnyReached) {
    // Of a pair that cannot be reached at all, too, whoever stays away is replaced.
    if (isPair) await context.transaction((tx) => startMending(tx, loadBalancerId, lost, context));
    throw first.error;
  }
  return {
    refusal,
    async record(tx) {
      await record(tx, plan, outcomes, loadBalancerId, context);
      if (!refusal && lost.length > 0) await startMending(tx, loadBalancerId, lost, context);
    },
  };
}

/** Pushes to all at once. From the moment on in which one serves, the others have little time left. */
async function pushUntilOneServes(plan: Plan, loadBalancerId: string, context: Context) {
  const first = Promise.withResolvers<void>();
  const outcomes = await Promise.all(
    plan.texts.map(async ({ amphora, text }) => {
      if (plan.texts.length === 1) return { amphora, outcome: await pushOne(amphora, text, loadBalancerId, context) };
      const late = new AbortController();
      let timer: NodeJS.Timeout | undefined;
      const graceMs = amphora.appliedRevision === 0 ? GRACE_OF_LOST_MS : GRACE_MS;
      void first.promise.then(() => {
        timer = setTimeout(() => late.abort(new TooLate(amphora.id, graceMs)), graceMs);
      });
      const signal = AbortSignal.any([context.signal, late.signal]);
      const outcome = await pushOne(amphora, text, loadBalancerId, { ...context, signal });
      clearTimeout(timer);
      // One that refuses tells all there is to know, too.
      if (outcome.kind !== 'unreachable') first.resolve();
      return { amphora, outcome };
    }),
  );
  return outcomes;
}

/** The other amphora of the pair serves already. */
class TooLate extends AmphoraUnavailable {
  constructor(amphoraId: string, graceMs: number) {
    super(`Amphora ${amphoraId} had not taken it ${graceMs} ms after the other one.`, { amphoraId });
  }
}

function refusalOf(outcomes: readonly { readonly outcome: Outcome }[]): Fault | null {
  return outcomes.flatMap(({ outcome }) => (outcome.kind === 'refused' ? [outcome.fault] : []))[0] ?? null;
}

async function record(
  tx: Tx,
  plan: Plan,
  outcomes: readonly { readonly amphora: Amphora; readonly outcome: Outcome }[],
  loadBalancerId: string,
  context: Context,
): Promise<void> {
  const reached = outcomes.filter((one): one is Reached => one.outcome.kind === 'served');
  for (const { amphora, outcome } of reached) await recordPush(tx, plan, amphora, outcome, loadBalancerId, context);
  if (reached.length > 0) await context.settlement.unrenderable(tx, loadBalancerId, plan.target, problemsOf(plan));
}

/** Writes down what an amphora serves now. */
export async function recordPush(
  tx: Tx,
  { target }: Pick<Plan, 'target'>,
  amphora: Amphora,
  { ms, isChanged }: Served,
  loadBalancerId: string,
  context: Context,
): Promise<void> {
  const subject = { loadBalancerId, amphoraId: amphora.id };
  // They travel together.
  await Promise.all([
    tellMilestone(tx, context, 'configuration_pushed', subject, { ms, revision: target, changed: isChanged }),
    context.amphorae.update(tx, amphora.id, { appliedRevision: target }),
  ]);
}

function problemsOf({ problems }: Plan): Refusal[] {
  return problems.map(({ objectKind, objectId, reason, message }) => ({
    objectKind,
    objectId,
    fault: { reason, message },
  }));
}
