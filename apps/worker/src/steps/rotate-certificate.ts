import { Superseded } from '../engine/flow.ts';
import { callOf, endpointOf, type WorkerStep } from '../world.ts';

/** Issues a certificate and gives it to the agent, which uses it at once. A second try issues another one: nothing keeps the key. */
export const rotateCertificate: WorkerStep<{ readonly amphoraId: string }> = {
  name: 'rotate_certificate',
  async do({ amphoraId }, context) {
    const { amphorae, certificates, reader, transaction } = context;
    const found = await amphorae.get(reader, amphoraId);
    if (found.status !== 'READY' && found.status !== 'ALLOCATED') {
      throw new Superseded(`Amphora ${amphoraId} is ${found.status} by now.`);
    }
    const { certificate, privateKey, expiresAt } = await certificates.issueAgentCertificate(amphoraId, callOf(context));
    await context.amphora.rotateAgentCertificate(endpointOf(found), `${certificate}${privateKey}`, callOf(context));
    await transaction((tx) => amphorae.update(tx, amphoraId, { certExpiresAt: expiresAt }));
    return;
  },
};
