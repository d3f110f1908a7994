import type { Refusal, Tx } from '@octavia/db';
import type { Fault } from '@octavia/domain';
import { ConfigurationRefused } from '@octavia/drivers';
import { Closing } from '../engine/flow.ts';
import { type Context, tellMilestone, type WorkerStep } from '../world.ts';
import { leaveOutRefused } from './last-good.ts';
import { type Plan, planPush } from './plan-push.ts';
import { pushOne } from './push-one.ts';

export interface PushState {
  readonly loadBalancerId: string;
  /** Set where the amphora is new: only that one is pushed to, and it has no configuration to fall back to. */
  readonly newAmphoraId?: string;
  /** Revision of the load balancer that was pushed. */
  readonly target: number;
  /** Ids of objects that are not in it after all: refused changes were found, and not all of them. */
  readonly undecided?: readonly string[];
}

interface Pushed {
  /** Why it was refused; null: it is served. */
  readonly refusal: Fault | null;
  /** Writes down what the amphorae serve now. */
  record(tx: Tx): Promise<void>;
}

/**
 * Makes the amphorae serve the newest desired revision, all at once. One that cannot be reached does not hold the others. Where
 * they refuse it, the changes that they refuse are found and left out, and everything else is served.
 */
export const pushConfiguration: WorkerStep<PushState> = {
  name: 'push_configuration',
  async do({ loadBalancerId, newAmphoraId }, context) {
    const plan = await planPush(loadBalancerId, newAmphoraId, context);
    const { plan: taken, record } = await pushWhatIsTaken(plan, (next) => push(next, loadBalancerId, context), context);
    return served(taken, record, context);
  },
};

/** Pushes, and when that is refused, once more without the changes that are. @throws LastGoodRefused, ConfigurationRefused */
async function pushWhatIsTaken(
  plan: Plan,
  push: (plan: Plan) => Promise<Pushed>,
  context: Context,
): Promise<{ readonly plan: Plan; readonly record: Pushed['record'] }> {
  let next = plan;
  let pushed = await push(next);
  // What passes the check of an agent that binds nothing may still be refused at the reload.
  for (const by of ['check', 'reload'] as const) {
    if (!pushed.refusal) break;
    next = await leaveOutRefused(next, pushed.refusal, by, context);
    pushed = await push(next);
  }
  if (pushed.refusal) throw new ConfigurationRefused(pushed.refusal.message, { loadBalancerId: plan.loadBalancerId });
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

/** Pushes to all. @throws what the amphorae threw, when none could be reached */
async function push(plan: Plan, loadBalancerId: string, context: Context): Promise<Pushed> {
  const outcomes = await Promise.all(
    plan.texts.map(async ({ amphora, text }) => ({
      amphora,
      outcome: plan.lost.has(amphora.id)
        ? ({ kind: 'unreachable', error: plan.lost.get(amphora.id) } as const)
        : await pushOne(amphora, text, loadBalancerId, context),
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
