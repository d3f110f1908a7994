import type { Refusal, Tx } from '@octavia/db';
import type { SeatedAmphora } from '@octavia/domain';
import { AmphoraUnavailable, ConfigurationRefused } from '@octavia/drivers';
import { Closing } from '../engine/flow.ts';
import { type Context, tellMilestone, type WorkerStep } from '../world.ts';
import { leaveOutRefused } from './last-good.ts';
import { startMending } from './mending.ts';
import { type Audience, type Plan, planPush } from './plan-push.ts';
import { type Outcome, pushOne, type Refused, type Served } from './push-one.ts';
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
  /** Ids of objects that are not in it after all: refused changes were found, and not all of them. */
  readonly undecided?: readonly string[];
}

interface Reached {
  readonly amphora: SeatedAmphora;
  readonly outcome: Served;
}

interface Pushed {
  /** Why it was refused; null: it is served. */
  readonly refusal: Refused | null;
  /** Writes down what the amphorae serve now. */
  record(tx: Tx): Promise<void>;
}

/**
 * Makes the amphorae serve the newest desired revision, all at once. One that cannot be reached does not hold the others: it is mended.
 * Where they refuse it, the changes that they refuse are found and left out, and everything else is served.
 */
export const pushConfiguration: WorkerStep<PushState> = {
  name: 'push_configuration',
  async do({ loadBalancerId }, context) {
    const plan = await planPush(loadBalancerId, undefined, context);
    const { plan: taken, record } = await pushWhatIsTaken(plan, (next) => pushToServing(next, context), context);
    return served(taken, record, context);
  },
};

/** Makes the amphorae that come into service in a round serve the newest desired revision, less what is refused. */
export function pushToComers(round: number): WorkerStep<PushState & RoundsState> {
  return {
    name: inRound('push_configuration', round),
    isNeeded: hasRound(round),
    async do(state, context) {
      const { loadBalancerId } = state;
      const all = await context.seats.ofLoadBalancer(context.reader, loadBalancerId);
      const { comers, stayers } = roundOf(state, round, all);
      const ids = comers.map(({ id }) => id);
      const audience: Audience = { ids, peerIds: [...ids, ...stayers.map(({ id }) => id)] };
      const plan = await planPush(loadBalancerId, audience, context);
      const { plan: taken, record } = await pushWhatIsTaken(plan, (next) => pushToAll(next, context), context);
      return served(taken, record, context);
    },
  };
}

/** Pushes, and when that is refused, once more without the changes that are. @throws LastGoodRefused, ConfigurationRefused */
async function pushWhatIsTaken(
  plan: Plan,
  push: (plan: Plan) => Promise<Pushed>,
  context: Context,
): Promise<{ readonly plan: Plan; readonly record: Pushed['record'] }> {
  let next = plan;
  let pushed = await push(next);
  // What passes the check of an agent that binds nothing may still be refused at the reload: there the check would tell nothing.
  for (const by of ['check', 'reload'] as const) {
    if (pushed.refusal?.by !== by) continue;
    next = await leaveOutRefused(next, pushed.refusal.fault, by, context);
    pushed = await push(next);
  }
  if (pushed.refusal)
    throw new ConfigurationRefused(pushed.refusal.fault.message, { loadBalancerId: plan.loadBalancerId });
  return { plan: next, record: pushed.record };
}

function served(plan: Plan, record: Pushed['record'], context: Context): Closing<Partial<PushState>> {
  return new Closing(async (tx) => {
    await record(tx);
    const { loadBalancerId, undecided } = plan;
    const target = await context.settlement.refused(tx, loadBalancerId, plan.target, plan.refused);
    return { target, ...(undecided.length > 0 ? { undecided } : {}) };
  });
}

/** Every amphora must take it. @throws what the first one threw that could not be reached */
async function pushToAll(plan: Plan, context: Context): Promise<Pushed> {
  const outcomes = await Promise.all(
    plan.texts.map(async ({ amphora, text }) => ({
      amphora,
      outcome: await pushTo(amphora, text, plan, context),
    })),
  );
  context.signal.throwIfAborted();
  const refusal = refusalOf(outcomes);
  const lost = outcomes.find(({ outcome }) => outcome.kind === 'unreachable');
  if (!refusal && lost?.outcome.kind === 'unreachable') throw lost.outcome.error;
  return { refusal, record: (tx) => record(tx, plan, outcomes, context) };
}

/**
 * One amphora that takes it suffices: the others of a pair, if they cannot be reached, are mended.
 * @throws what an amphora threw, when none could be reached
 */
async function pushToServing(plan: Plan, context: Context): Promise<Pushed> {
  const outcomes = await pushUntilOneServes(plan, context);
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
    if (isPair) await context.transaction((tx) => startMending(tx, plan.loadBalancerId, lost, context));
    throw first.error;
  }
  return {
    refusal,
    async record(tx) {
      await record(tx, plan, outcomes, context);
      if (!refusal && lost.length > 0) await startMending(tx, plan.loadBalancerId, lost, context);
    },
  };
}

/** Pushes to all at once. From the moment on in which one serves, the others have little time left. */
async function pushUntilOneServes(plan: Plan, context: Context) {
  const first = Promise.withResolvers<void>();
  const outcomes = await Promise.all(
    plan.texts.map(async ({ amphora, text }) => {
      if (plan.texts.length === 1) return { amphora, outcome: await pushTo(amphora, text, plan, context) };
      const late = new AbortController();
      let timer: NodeJS.Timeout | undefined;
      // After a search nobody's is known, and all who are not lost have just answered.
      const wasLost = amphora.appliedRevision === 0 && !plan.isSearched;
      const graceMs = wasLost ? GRACE_OF_LOST_MS : GRACE_MS;
      void first.promise.then(() => {
        timer = setTimeout(() => late.abort(new TooLate(amphora.id, graceMs)), graceMs);
      });
      const signal = AbortSignal.any([context.signal, late.signal]);
      const outcome = await pushTo(amphora, text, plan, { ...context, signal });
      clearTimeout(timer);
      // One that refuses tells all there is to know, too.
      if (outcome.kind !== 'unreachable') first.resolve();
      return { amphora, outcome };
    }),
  );
  return outcomes;
}

async function pushTo(amphora: SeatedAmphora, text: string, plan: Plan, context: Context): Promise<Outcome> {
  const error = plan.lost.get(amphora.id);
  return error === undefined ? pushOne(amphora, text, plan.loadBalancerId, context) : { kind: 'unreachable', error };
}

/** The other amphora of the pair serves already. */
class TooLate extends AmphoraUnavailable {
  constructor(amphoraId: string, graceMs: number) {
    super(`Amphora ${amphoraId} had not taken it ${graceMs} ms after the other one.`, { amphoraId });
  }
}

/** The first refusal, one of a check before one at a reload: the cheaper questions come first. */
function refusalOf(outcomes: readonly { readonly outcome: Outcome }[]): Refused | null {
  const refusals = outcomes.flatMap(({ outcome }) => (outcome.kind === 'refused' ? [outcome] : []));
  return refusals.find(({ by }) => by === 'check') ?? refusals[0] ?? null;
}

async function record(
  tx: Tx,
  plan: Plan,
  outcomes: readonly { readonly amphora: SeatedAmphora; readonly outcome: Outcome }[],
  context: Context,
): Promise<void> {
  const reached = outcomes.filter((one): one is Reached => one.outcome.kind === 'served');
  for (const { amphora, outcome } of reached) await recordPush(tx, plan, amphora, outcome, context);
  if (reached.length > 0) await context.settlement.unrenderable(tx, plan.loadBalancerId, plan.target, problemsOf(plan));
}

/** Writes down what an amphora serves now. */
export async function recordPush(
  tx: Tx,
  { loadBalancerId, target }: Pick<Plan, 'loadBalancerId' | 'target'>,
  amphora: SeatedAmphora,
  { ms, isChanged }: Served,
  context: Context,
): Promise<void> {
  const subject = { loadBalancerId, amphoraId: amphora.id };
  // They travel together.
  await Promise.all([
    tellMilestone(tx, context, 'configuration_pushed', subject, { ms, revision: target, changed: isChanged }),
    context.seats.update(tx, subject, { appliedRevision: target }),
  ]);
}

function problemsOf({ problems }: Plan): Refusal[] {
  return problems.map(({ objectKind, objectId, reason, message }) => ({
    objectKind,
    objectId,
    fault: { reason, message },
  }));
}
