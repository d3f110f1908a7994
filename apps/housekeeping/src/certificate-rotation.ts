import type { Database, ExpiringCertificates, Flows } from '@octavia/db';
import { rotateAmphoraCertificate } from '@octavia/flows';
import { ATTR, type Logger } from '@octavia/service';
import { v7 as uuidv7 } from 'uuid';

export interface CertificateRotationParts {
  readonly db: Database;
  readonly log: Logger;
  readonly bufferMs: number;
  readonly flowDeadlineMs: number;
  readonly certificates: ExpiringCertificates;
  readonly flows: Flows;
}

/** Batches in one round, at most: after a long time off every certificate has run out, and all are renewed within one round. */
const BATCHES = 1_000;

/** Keeps certificates of agents from running out: they are replaced in time, and agents enrol again where it is too late. */
export class CertificateRotation {
  readonly #parts: CertificateRotationParts;

  constructor(parts: CertificateRotationParts) {
    this.#parts = parts;
  }

  async rotate(): Promise<void> {
    const { db, log, certificates, flows, bufferMs, flowDeadlineMs: deadlineMs } = this.#parts;
    for (let batch = 0; batch < BATCHES; batch++) {
      const due = await certificates.due(db.reader, bufferMs);
      for (const { amphoraId, loadBalancerId, projectId, isExpired } of due) {
        const requester = { projectId, userId: 'housekeeping', requestId: uuidv7() };
        const flow = rotateAmphoraCertificate(amphoraId, loadBalancerId, requester, { deadlineMs });
        await db.transaction((tx) => flows.start(tx, flow));
        const what = isExpired ? 'certificate of an agent ran out' : 'certificate of an agent is replaced';
        log.info({ [ATTR.AMPHORA_ID]: amphoraId }, what);
      }
      // What runs out later has time: a few in each round.
      if (!due.at(-1)?.isExpired) return;
    }
  }
}
