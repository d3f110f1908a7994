import { FailoverCandidates } from '@octavia/db';
import { type Amphora, DomainError, type Fault } from '@octavia/domain';
import { AgentCertificateExpired, InstanceNotFoundError, NotImplemented } from '@octavia/drivers';
import { deleteAmphora } from '@octavia/flows';
import { ATTR } from '@octavia/service';
import { type Context, callOf, endpointOf, requesterOf, tellMilestone } from '../world.ts';
import { pauses } from './booting.ts';
import { AGENT_CERTIFICATE_PATH, CLIENT_CA_PATH } from './build-amphora.ts';
import { giveUpAmphora } from './give-up-amphora.ts';

/** Of the time that the flow has left, what an agent may take to show its new certificate; our own looks twice a second. */
const SHARE = 0.5;

const EXPIRED: Fault = {
  reason: 'CERTIFICATE_EXPIRED',
  message:
    "The certificate of the amphora's agent ran out, and it could not be given a new one, so the amphora is replaced.",
};

const candidates = new FailoverCandidates();

/** The agent cannot be given a certificate: its compute service has no way, or it does not take it up. */
class CannotEnrol extends Error {}

/**
 * Gives an agent whose certificate has run out a new one. A key is not sent over a connection that can no longer be trusted, so it goes by
 * way of the compute service, as at the first start. Where that cannot be done, the amphora is replaced. A second try issues another
 * certificate: nothing keeps the key.
 * @returns whether the agent answers with its new certificate; false: a flow that replaces the amphora was asked for
 */
export async function enrolAgent(amphora: Amphora, context: Context): Promise<boolean> {
  try {
    await enrol(amphora, context);
    return true;
  } catch (error) {
    if (!(error instanceof CannotEnrol) || context.signal.aborted) throw error;
    context.log.warn({ [ATTR.AMPHORA_ID]: amphora.id, err: error.cause }, 'agent cannot enrol again');
    await replace(amphora, context);
    return false;
  }
}

async function enrol(amphora: Amphora, context: Context): Promise<void> {
  const { certificates, compute, transaction, amphorae, loadBalancers, log } = context;
  const startedAt = performance.now();
  const { certificate, privateKey, expiresAt } = await certificates.issueAgentCertificate(amphora.id, callOf(context));
  const files = {
    [AGENT_CERTIFICATE_PATH]: `${certificate}${privateKey}`,
    [CLIENT_CA_PATH]: await certificates.clientCa(),
  };
  try {
    await compute.replaceFiles(amphora.computeId ?? '', files, callOf(context));
  } catch (cause) {
    if (!(cause instanceof NotImplemented || cause instanceof InstanceNotFoundError)) throw cause;
    throw new CannotEnrol('', { cause });
  }
  await confirm(amphora, certificate, context);
  const ms = Math.round(performance.now() - startedAt);
  log.info({ [ATTR.AMPHORA_ID]: amphora.id, ms }, 'agent enrolled again: its certificate had run out');
  await transaction(async (tx) => {
    for (const { loadBalancerId } of amphora.seats) {
      if (!(await loadBalancers.lock(tx, loadBalancerId))) continue;
      await tellMilestone(tx, context, 'amphora_enrolled', { loadBalancerId, amphoraId: amphora.id }, { ms });
    }
    await amphorae.update(tx, amphora.id, { certExpiresAt: expiresAt });
  });
}

/** Waits until the agent shows the new certificate and answers with it. @throws CannotEnrol when it does not in time */
async function confirm(amphora: Amphora, certificate: string, context: Context): Promise<void> {
  const limit = AbortSignal.timeout(Math.max(0, Math.round(context.remainingMs() * SHARE)));
  const call = { ...callOf(context), signal: AbortSignal.any([context.signal, limit]) };
  let cause: unknown;
  try {
    for await (const _ of pauses(call.signal)) {
      try {
        if (!(await context.amphora.showsCertificate(endpointOf(amphora), certificate, call))) continue;
        await context.amphora.getFacts(endpointOf(amphora), call);
        return;
      } catch (error) {
        if (!(error instanceof DomainError) || error.kind !== 'unavailable') throw error;
        cause = error;
      }
    }
  } catch (error) {
    if (!limit.aborted || context.signal.aborted) throw error;
    throw new CannotEnrol('', { cause: cause ?? error });
  }
}

/** Asks for the flow that does without this amphora, unless somebody has. */
async function replace({ id, seats }: Amphora, context: Context): Promise<void> {
  const { flows, settings, transaction } = context;
  const options = { deadlineMs: settings.flowDeadlineMs };
  await transaction(async (tx) => {
    if (seats.length === 0) {
      const spare = await candidates.discardSpare(tx, id, EXPIRED);
      if (spare) await flows.start(tx, deleteAmphora(id, requesterOf(context), options));
      return;
    }
    await giveUpAmphora(tx, id, EXPIRED, context);
  });
}

/**
 * The same context, whose calls to agents enrol one that shows a certificate that has run out, and are made once more. So no flow waits
 * for housekeeping to find it, and one that is half done does not wait for another flow of its own turn.
 */
export function enrolling(context: Context): Context {
  // Of what is under way for one amphora, so that calls side by side enrol it once.
  const underWay = new Map<string, Promise<boolean>>();
  const amphora = new Proxy(context.amphora, {
    get(target, name) {
      const method: unknown = Reflect.get(target, name, target);
      if (typeof method !== 'function') return method;
      return async (...args: unknown[]) => {
        try {
          return await method.apply(target, args);
        } catch (error) {
          if (!(error instanceof AgentCertificateExpired)) throw error;
          const { amphoraId } = args[0] as { readonly amphoraId: string };
          const enrolment = underWay.get(amphoraId) ?? enrolById(amphoraId, context);
          underWay.set(amphoraId, enrolment);
          if (!(await enrolment.finally(() => underWay.delete(amphoraId)))) throw error;
          return await method.apply(target, args);
        }
      };
    },
  });
  return { ...context, amphora };
}

async function enrolById(amphoraId: string, context: Context): Promise<boolean> {
  const amphora = await context.amphorae.get(context.reader, amphoraId);
  const isInUse = amphora.status === 'READY' || amphora.status === 'ALLOCATED';
  return isInUse && enrolAgent(amphora, context);
}
