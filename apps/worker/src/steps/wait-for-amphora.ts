import type { Tx } from '@octavia/db';
import { type AmphoraFacts, type AmphoraRole, DomainError, type Machine } from '@octavia/domain';
import { AmphoraBuildError } from '@octavia/drivers';
import { ATTR } from '@octavia/service';
import { Closing } from '../engine/flow.ts';
import { type Context, callOf, type WorkerStep } from '../world.ts';
import { allocate } from './allocate-amphora.ts';
import { type Built, built, pauses } from './booting.ts';
import { build } from './build-amphora.ts';
import { releaseBuildSlots } from './build-slot.ts';
import type { NewAmphora } from './rounds.ts';
import { together } from './together.ts';

/** Amphorae that are tried, one after the other, before a load balancer's flow gives up. */
const MAX_AMPHORAE = 3;
/** Of the time that the flow has left, what one amphora may take to come up: so the next has a chance, too. */
const SHARE = 0.5;
/** With a share below this, in milliseconds, another amphora is not even built: it would be given up before its agent could answer. */
const LEAST_SHARE_MS = 1_000;

export interface WaitForAmphoraState {
  readonly newAmphorae: readonly NewAmphora[];
  /** Absent: it is to be a spare, of which housekeeping makes another when this one fails. */
  readonly loadBalancerId?: string;
  readonly oldAmphoraIds?: readonly string[];
}

/** What an amphora that is up is to be called, and what is to be written down of it. */
interface Up {
  readonly amphora: NewAmphora;
  /** Whether it, or one that it stands for, may hold a build slot. */
  readonly wasBuilt: boolean;
  readonly keep: ((tx: Tx) => Promise<void>) | null;
}

/**
 * Waits until the agents of the new amphorae answer, and keeps what they say of themselves: configurations are rendered from that. One
 * that does not come up in time is given up for another.
 */
export const waitForAmphorae: WorkerStep<WaitForAmphoraState> = {
  name: 'wait_for_amphorae',
  async do({ newAmphorae, loadBalancerId, oldAmphoraIds = [] }, context) {
    const up = await together(newAmphorae, context, (amphora, limited) =>
      loadBalancerId === undefined || amphora.role === null
        ? spareUp(amphora, limited)
        : oneUp(amphora.id, amphora.role, { loadBalancerId, oldAmphoraIds }, limited),
    );
    return new Closing(async (tx) => {
      for (const { keep } of up) await keep?.(tx);
      if (up.some(({ wasBuilt }) => wasBuilt)) await releaseBuildSlots(tx, context);
      return { newAmphorae: up.map(({ amphora }) => amphora) };
    });
  },
};

async function spareUp(amphora: NewAmphora, context: Context): Promise<Up> {
  const found = await context.amphorae.get(context.reader, amphora.id);
  const wasBuilt = found.status === 'BOOTING';
  return { amphora, wasBuilt, keep: wasBuilt ? await comeUp(found, context) : null };
}

/** Waits for an amphora of a load balancer, or for another in its place. */
async function oneUp(
  firstId: string,
  role: AmphoraRole,
  state: { readonly loadBalancerId: string; readonly oldAmphoraIds: readonly string[] },
  context: Context,
): Promise<Up> {
  const own = await context.seats.ofLoadBalancer(context.reader, state.loadBalancerId, ['BOOTING', 'ALLOCATED']);
  // A try that was cut off may have given it up.
  let amphora = own.find(({ id }) => id === firstId) ?? (await allocate(state, role, context));
  for (let number = 1; ; number++) {
    try {
      const { id } = amphora;
      // A spare, perhaps in the place of one that was built.
      if (amphora.status !== 'BOOTING') return { amphora: { id, role }, wasBuilt: id !== firstId, keep: null };
      if (id !== firstId) await buildAnother(id, context);
      return { amphora: { id, role }, wasBuilt: true, keep: await comeUp(amphora, context) };
    } catch (error) {
      if (!(error instanceof AmphoraBuildError) || context.signal.aborted || number >= MAX_AMPHORAE) throw error;
      if (shareMs(context) < LEAST_SHARE_MS) throw error;
      context.log.warn({ [ATTR.AMPHORA_ID]: amphora.id, err: error }, 'amphora did not come up, trying another');
      amphora = await allocate(state, role, context, amphora.id);
    }
  }
}

/** Builds another amphora than the one that the step before this one built. */
async function buildAnother(amphoraId: string, context: Context): Promise<void> {
  const record = await build(amphoraId, context);
  if (record) await context.transaction(record);
}

/**
 * Returns how to keep what it says of itself.
 * @throws AmphoraBuildError when it has ended, or did not answer within its share of the time
 */
async function comeUp(amphora: Machine, context: Context): Promise<(tx: Tx) => Promise<void>> {
  const limitMs = shareMs(context);
  const limit = AbortSignal.timeout(limitMs);
  const limited = { ...context, signal: AbortSignal.any([context.signal, limit]) };
  const silence: { lastError?: DomainError } = {};
  let found: { instance: Built; facts: AmphoraFacts };
  try {
    const instance = await built(amphora, limited);
    found = { instance, facts: await firstAnswer(amphora.id, instance, limited, silence) };
  } catch (error) {
    if (!limit.aborted || context.signal.aborted) throw error;
    throw new AmphoraBuildError(
      `Amphora ${amphora.id} did not answer within ${(limitMs / 1000).toFixed(1)} s of being built` +
        `${silence.lastError ? `; the last try: ${silence.lastError.message}` : '.'} ` +
        'Look at its log and at that of the compute service; fail the load balancer over to try again.',
      { amphoraId: amphora.id, limitMs: String(limitMs) },
      { cause: error },
    );
  }
  return (tx) => keep(tx, amphora, found, context);
}

function shareMs(context: Context): number {
  return Math.max(0, Math.round(context.remainingMs() * SHARE));
}

async function keep(
  tx: Tx,
  amphora: Machine,
  { instance, facts }: { readonly instance: Built; readonly facts: AmphoraFacts },
  { amphorae, secrets }: Context,
): Promise<void> {
  await amphorae.update(tx, amphora.id, {
    computeId: instance.computeId,
    computeHost: instance.computeHost,
    imageId: instance.imageId,
    lbNetworkIp: instance.lbNetworkIp,
    agentPort: instance.agentPort,
    facts,
  });
  const { seats } = await amphorae.get(tx, amphora.id);
  if (seats.length > 0) await amphorae.setStatus(tx, amphora.id, 'ALLOCATED');
  // It has its key now; ours is not needed any more.
  await secrets.delete(tx, 'amphora_certificate', amphora.id);
}

async function firstAnswer(
  amphoraId: string,
  instance: Built,
  context: Context,
  silence: { lastError?: DomainError },
): Promise<AmphoraFacts> {
  const endpoint = { amphoraId, lbNetworkIp: instance.lbNetworkIp, agentPort: instance.agentPort };
  let isTold = false;
  for await (const _ of pauses(context.signal)) {
    // Its processes may have ended meanwhile: then no answer will ever come.
    if (silence.lastError) await built(await context.amphorae.get(context.reader, amphoraId), context);
    try {
      return await context.amphora.getFacts(endpoint, callOf(context));
    } catch (error) {
      const isUnavailable = error instanceof DomainError && error.kind === 'unavailable';
      if (!isUnavailable || context.signal.aborted) throw error;
      silence.lastError = error;
      context.log.debug({ reason: error.reason }, 'amphora does not answer yet');
    }
    if (!isTold) await context.waitingFor('amphora to answer');
    isTold = true;
  }
  throw new Error('The pauses never end.');
}
