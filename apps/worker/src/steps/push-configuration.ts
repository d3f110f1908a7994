import type { Refusal, Tx } from '@octavia/db';
import type { Fault } from '@octavia/domain';
import { ConfigurationRefused } from '@octavia/drivers';
import { Closing } from '../engine/flow.ts';
import { type Context, tellMilestone, type WorkerStep } from '../world.ts';
import { type Plan, planPush } from './plan-push.ts';
import { pushOne } from './push-one.ts';

export interface PushState {
  readonly loadBalancerId: string;
  /** Set where the amphora is new: only that one is pushed to, and it has no configuration to fall back to. */
  readonly newAmphoraId?: string;
  /** Revision of the load balancer that was pushed. */
  readonly target: number;
  /** Whether the data plane serves it; else it refused, and serves what it did before. */
  readonly isServed: boolean;
}

interface Pushed {
  /** Why it was refused; null: it is served. */
  readonly refusal: Fault | null;
  /** Writes down what the amphorae serve now. */
  record(tx: Tx): Promise<void>;
}

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
