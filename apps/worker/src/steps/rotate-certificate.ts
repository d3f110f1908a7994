import type { Amphora } from '@octavia/domain';
import { AgentCertificateExpired } from '@octavia/drivers';
import { Closing, Superseded } from '../engine/flow.ts';
import { type Context, callOf, endpointOf, type WorkerStep } from '../world.ts';
import { enrolAgent } from './enrol-agent.ts';

/**
 * Issues a certificate and gives it to the agent, which uses it at once. One whose certificate has run out enrols again. A second try issues
 * another one: nothing keeps the key.
 */
export const rotateCertificate: WorkerStep<{ readonly amphoraId: string }> = {
  name: 'rotate_certificate',
  async do({ amphoraId }, context) {
    const found = await context.amphorae.get(context.reader, amphoraId);
    if (found.status !== 'READY' && found.status !== 'ALLOCATED') {
      throw new Superseded(`Amphora ${amphoraId} is ${found.status} by now.`);
    }
    const isExpired = found.certExpiresAt !== null && found.certExpiresAt.getTime() <= Date.now();
    const expiresAt = isExpired ? null : await rotate(found, context);
    if (expiresAt) {
      return new Closing(async (tx) => {
        await context.amphorae.update(tx, amphoraId, { certExpiresAt: expiresAt });
        return {};
      });
    }
    if (await enrolAgent(found, context)) return;
    throw new Superseded(`The agent of amphora ${amphoraId} cannot enrol again; the amphora is replaced.`);
  },
};

/** When the new one runs out; null: the old one has, so the connection is not to be trusted with a key. */
async function rotate(amphora: Amphora, context: Context): Promise<Date | null> {
  const issued = await context.certificates.issueAgentCertificate(amphora.id, callOf(context));
  const pem = `${issued.certificate}${issued.privateKey}`;
  try {
    await context.amphora.rotateAgentCertificate(endpointOf(amphora), pem, callOf(context));
    return issued.expiresAt;
  } catch (error) {
    if (error instanceof AgentCertificateExpired) return null;
    throw error;
  }
}
