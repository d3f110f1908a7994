import type { Unavailable } from '@octavia/domain';
import { AgentCertificateExpired, AmphoraUnavailable } from '../../errors.ts';
import type { AmphoraEndpoint } from '../amphora-driver.ts';

/** Codes of failures that may be gone a moment later. */
const TRANSIENT = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ETIMEDOUT',
  'UND_ERR_CONNECT_TIMEOUT',
  'UND_ERR_HEADERS_TIMEOUT',
  'UND_ERR_BODY_TIMEOUT',
  'UND_ERR_SOCKET',
  'UND_ERR_CLOSED',
  'UND_ERR_DESTROYED',
]);

/** The word of OpenSSL for a certificate that is past its end. */
const EXPIRED = 'CERT_HAS_EXPIRED';

const WORDS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'refused the connection: no agent listens there',
  UND_ERR_CONNECT_TIMEOUT: 'did not take the connection in time',
  UND_ERR_HEADERS_TIMEOUT: 'took the call and did not answer in time',
  UND_ERR_BODY_TIMEOUT: 'stopped in the middle of its answer',
  UND_ERR_SOCKET: 'cut the connection',
  ECONNRESET: 'cut the connection',
  ERR_TLS_CERT_ALTNAME_INVALID:
    'showed the certificate of somebody else; its address may belong to another amphora by now',
  [EXPIRED]: 'showed a certificate that has run out',
};

/** A failure below HTTP. */
export interface TransportFailure {
  readonly error: Unavailable;
  /** Whether another try makes sense. */
  readonly isTransient: boolean;
}

/** Says what happened, and to whom. `details.code` is the system's word for it, such as ECONNREFUSED. */
export function transportFailure(cause: unknown, what: string, amphora: AmphoraEndpoint): TransportFailure {
  const { amphoraId, lbNetworkIp, agentPort } = amphora;
  const code = codeOf(cause);
  const words = WORDS[code] ?? `could not be understood or reached (${cause instanceof Error ? cause.message : cause})`;
  const address = `${lbNetworkIp}:${agentPort}`;
  const message = `Amphora ${amphoraId} at ${address} ${words} (${what}).`;
  const Kind = code === EXPIRED ? AgentCertificateExpired : AmphoraUnavailable;
  return {
    error: new Kind(message, { amphoraId, address, what, code }, { cause }),
    isTransient: TRANSIENT.has(code),
  };
}

/** The innermost code: undici wraps the system's errors in its own at times. */
function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return 'UNKNOWN';
  const inner = error.cause instanceof Error ? codeOf(error.cause) : 'UNKNOWN';
  if (inner !== 'UNKNOWN') return inner;
  return 'code' in error && typeof error.code === 'string' ? error.code : 'UNKNOWN';
}
