import type { SeatedAmphora } from '@octavia/domain';
import { AmphoraUnavailable, ConfigurationRefused } from '@octavia/drivers';
import { Closing, Superseded } from '../engine/flow.ts';
import { type Context, callOf, endpointOf, type WorkerStep } from '../world.ts';
import { answers } from './answers.ts';
import { type Lost, startMending } from './mending.ts';
import { planPush } from './plan-push.ts';
import { type PushState, recordPush } from './push-configuration.ts';
import { pushOne, type Served } from './push-one.ts';
import { hasStayers, inRound, roundOf } from './rounds.ts';
import type { VrrpState } from './start-vrrp.ts';
import { uploadVrrp } from './vrrp.ts';

/** How long the amphora that serves on may take for its new peer, in milliseconds: several reloads. */
const INTRODUCED_WITHIN_MS = 5_000;

/**
 * Tells the amphora of a pair that serves on who its new peer is; reloads do not interrupt it. One that cannot be told does not hold
 * the flow: it may be dead as well, and it is mended.
 */
export function introduceComers(round: number): WorkerStep<VrrpState & PushState> {
  return {
    name: inRound('introduce_comers', round),
    isNeeded: hasStayers(round),
    async do(state, context) {
      const { loadBalancerId, target } = state;
      const all = await context.seats.ofLoadBalancer(context.reader, loadBalancerId);
      const { comers, stayers } = roundOf(state, round, all);
      const members = [...comers, ...stayers];
      const limit = AbortSignal.timeout(INTRODUCED_WITHIN_MS);
      const limited = { ...context, signal: AbortSignal.any([context.signal, limit]) };
      const lost: Lost[] = [];
      const told = await Promise.all(
        stayers.map(async (amphora) => {
          try {
            return [{ amphora, outcome: await introduce(amphora, members, state, limited) }];
          } catch (error) {
            if (error instanceof Superseded) throw error;
            lost.push({ amphora, error: limit.aborted ? tooSlow(amphora) : error });
            return [];
          }
        }),
      );
      context.signal.throwIfAborted();
      return new Closing(async (tx) => {
        for (const { amphora, outcome } of told.flat()) {
          await recordPush(tx, { loadBalancerId, target }, amphora, outcome, context);
        }
        if (lost.length > 0) await startMending(tx, loadBalancerId, lost, context);
        return {};
      });
    },
  };
}

function tooSlow({ id }: SeatedAmphora): AmphoraUnavailable {
  return new AmphoraUnavailable(`Amphora ${id} had not taken its new peer after ${INTRODUCED_WITHIN_MS} ms.`);
}

async function introduce(
  stayer: SeatedAmphora,
  members: readonly SeatedAmphora[],
  { loadBalancerId, target, vipNetwork }: VrrpState & PushState,
  context: Context,
): Promise<Served> {
  if (!(await answers(stayer, context)))
    throw new AmphoraUnavailable(`The agent of amphora ${stayer.id} does not answer.`);
  return bringUpToDate(stayer, members, { loadBalancerId, vipNetwork, atMost: target }, context);
}

/**
 * Makes an amphora of a pair that runs already serve what is desired, with the members of the pair as they are now.
 * @throws what keeps it from that
 */
export async function bringUpToDate(
  amphora: SeatedAmphora,
  members: readonly SeatedAmphora[],
  {
    loadBalancerId,
    vipNetwork,
    atMost,
  }: Pick<VrrpState, 'loadBalancerId' | 'vipNetwork'> & { readonly atMost?: number },
  context: Context,
): Promise<Served & { readonly target: number }> {
  const audience = { ids: [amphora.id], peerIds: members.map(({ id }) => id) };
  const { texts, tree, target } = await planPush(loadBalancerId, audience, context, { isSettling: false });
  const [planned] = texts;
  if (!planned) throw new Superseded(`Amphora ${amphora.id} has been replaced.`);
  const outcome = await pushOne(amphora, planned.text, loadBalancerId, context);
  if (outcome.kind === 'unreachable') throw outcome.error;
  if (outcome.kind === 'refused') throw new ConfigurationRefused(outcome.fault.message, { amphoraId: amphora.id });
  await uploadVrrp(amphora, members, { tree, vipNetwork }, context);
  await context.amphora.startVrrp(endpointOf(amphora), callOf(context));
  return { ...outcome, target: atMost ?? target };
}
