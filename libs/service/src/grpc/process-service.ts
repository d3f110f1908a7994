import { InvalidRequest } from '@octavia/domain';
import type { Process, ProcessLogLevel, ProcessServiceService, SetProcessLogLevelRequest } from '@octavia/proto';
import { CertificatesInUse } from '../process/certificates.ts';
import { LOG_LEVELS, type LogLevelState, logLevel, setLogLevel } from '../process/log-level.ts';
import { STARTED_AT, VERSION } from '../process/version.ts';
import type { Handlers } from './definition.ts';
import { unary } from './handlers.ts';
import type { TlsFiles } from './tls-files.ts';

/** Longest time for which a level may be changed, in milliseconds: a day. Without a time it stays. */
const MAX_REVERT_MS = 86_400_000;

/** What a process tells of itself: made at its start, told at any time. */
export class ProcessIdentity {
  readonly #name: string;
  readonly #certificates: CertificatesInUse;

  /**
   * @param name such as worker
   * @param certificates what the process proves itself by, and whom it trusts
   */
  constructor(name: string, certificates: readonly Pick<TlsFiles, 'certFile' | 'caFile'>[]) {
    this.#name = name;
    this.#certificates = new CertificatesInUse(certificates);
  }

  describe(): Process {
    return {
      name: this.#name,
      version: VERSION,
      startedAt: STARTED_AT,
      logLevel: writeLevel(logLevel()),
      certificates: this.#certificates.read().map(({ subject, expiresAt, isAuthority }) => ({
        subject,
        expiresAt,
        authority: isAuthority,
      })),
    };
  }
}

/** Changes the level as a request asks. @throws InvalidRequest */
export function changeLogLevel({ level, revertAfter }: SetProcessLogLevelRequest): ProcessLogLevel {
  const wanted = LOG_LEVELS.find((one) => one === level && one !== 'silent');
  const revertAfterMs = revertAfter
    ? Number(revertAfter.seconds) * 1000 + Math.round(revertAfter.nanos / 1_000_000)
    : null;
  const violations = [];
  if (level !== '' && !wanted) {
    const allowed = LOG_LEVELS.filter((one) => one !== 'silent').join(', ');
    violations.push({ field: 'level', description: `must be one of ${allowed}`, reason: 'INVALID_LOG_LEVEL' });
  }
  if (revertAfterMs !== null && !(revertAfterMs > 0 && revertAfterMs <= MAX_REVERT_MS)) {
    violations.push({
      field: 'revert_after',
      description: 'must be above 0 and at most a day',
      reason: 'OUT_OF_RANGE',
    });
  }
  if (violations.length > 0) throw new InvalidRequest(violations);
  return writeLevel(setLogLevel(wanted ?? null, revertAfterMs));
}

/** Handlers of the service that every process of ours but the gateway has: callers from outside may not reach it. */
export function processHandlers(identity: ProcessIdentity): Handlers<typeof ProcessServiceService> {
  return {
    getProcess: unary(() => identity.describe()),
    setProcessLogLevel: unary((request) => changeLogLevel(request)),
  };
}

function writeLevel({ level, revertsAt }: LogLevelState): ProcessLogLevel {
  return { level, revertsAt: revertsAt ?? undefined };
}
