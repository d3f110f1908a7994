import type { Database, ExpiringCertificate, ExpiringCertificates, FailoverCandidates, Flows, Tx } from '@octavia/db';
import type { Fault } from '@octavia/domain';
import { deleteAmphora, failoverAmphora, type Requester, rotateAmphoraCertificate } from '@octavia/flows';
import { ATTR, type Logger } from '@octavia/service';
import { v7 as uuidv7 } from 'uuid';

export interface CertificateRotationParts {
  readonly db: Database;
  readonly log: Logger;
  readonly bufferMs: number;
  readonly flowDeadlineMs: number;
  readonly certificates: ExpiringCertificates;
  readonly candidates: FailoverCandidates;
  readonly flows: Flows;
}

/** With an agent whose certificate ran out nobody can talk any more, so a new one cannot be given to it. */
const EXPIRED: Fault = {
  reason: 'CERTIFICATE_EXPIRED',
  message: "The certificate of the amphora's agent ran out before it was replaced, so the amphora is replaced.",
};

/** Keeps certificates of agents from running out: replaces them in time, and replaces the amphora where it is too late. */
export class CertificateRotation {
  readonly #parts: CertificateRotationParts;

  constructor(parts: CertificateRotationParts) {
    this.#parts = parts;
  }

  async rotate(): Promise<void> {
    const { db, log, certificates, bufferMs } = this.#parts;
    for (const found of await certificates.due(db.reader, bufferMs)) {
      const isStarted = await db.transaction((tx) => this.#start(tx, found));
      if (!isStarted) continue;
      const what = found.isExpired ? 'certificate of an agent ran out' : 'certificate of an agent is replaced';
      log.info({ [ATTR.AMPHORA_ID]: found.amphoraId }, what);
    }
  }

  async #start(tx: Tx, { amphoraId, loadBalancerId, projectId, isExpired }: ExpiringCertificate): Promise<boolean> {
    const { flows, candidates, flowDeadlineMs: deadlineMs } = this.#parts;
    const requester: Requester = { projectId, userId: 'housekeeping', requestId: uuidv7() };
    if (!isExpired) {
      await flows.start(tx, rotateAmphoraCertificate(amphoraId, loadBalancerId, requester, { deadlineMs }));
      return true;
    }
    if (loadBalancerId === null) {
      if (!(await candidates.discardSpare(tx, amphoraId, EXPIRED))) return false;
      await flows.start(tx, deleteAmphora(amphoraId, requester, { deadlineMs }));
      return true;
    }
    const candidate = await candidates.lock(tx, amphoraId);
    if (candidate === 'GONE' || candidate === 'HANDLED') return false;
    await candidates.setFault(tx, amphoraId, EXPIRED);
    await flows.start(tx, failoverAmphora(amphoraId, loadBalancerId, requester, { deadlineMs }));
    return true;
  }
}
