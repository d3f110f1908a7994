import { Metadata, type ServiceError, type StatusObject, status } from '@grpc/grpc-js';
import { DomainError, type ErrorKind, type FieldViolation, InvalidRequest, Unavailable } from '@octavia/domain';
import { type Any, BadRequest, ErrorInfo, QuotaFailure, RetryInfo, RpcStatus } from '@octavia/proto';
import { currentTraceId } from '../telemetry/spans.ts';

/** Domain of our reasons in `google.rpc.ErrorInfo`. */
export const ERROR_DOMAIN = 'octavia';

const DETAILS_KEY = 'grpc-status-details-bin';

const CODE_OF: Readonly<Record<ErrorKind, status>> = {
  invalid: status.INVALID_ARGUMENT,
  forbidden: status.PERMISSION_DENIED,
  missing: status.NOT_FOUND,
  exists: status.ALREADY_EXISTS,
  conflict: status.ABORTED,
  state: status.FAILED_PRECONDITION,
  range: status.OUT_OF_RANGE,
  quota: status.RESOURCE_EXHAUSTED,
  unavailable: status.UNAVAILABLE,
};

/** Kind of a status whose sender gave no more than a code, such as a proxy or gRPC itself. */
const KIND_OF: Readonly<Partial<Record<status, ErrorKind>>> = {
  [status.INVALID_ARGUMENT]: 'invalid',
  [status.PERMISSION_DENIED]: 'forbidden',
  [status.UNAUTHENTICATED]: 'forbidden',
  [status.NOT_FOUND]: 'missing',
  [status.ALREADY_EXISTS]: 'exists',
  [status.ABORTED]: 'conflict',
  [status.FAILED_PRECONDITION]: 'state',
  [status.OUT_OF_RANGE]: 'range',
  [status.RESOURCE_EXHAUSTED]: 'quota',
  [status.UNAVAILABLE]: 'unavailable',
  [status.DEADLINE_EXCEEDED]: 'unavailable',
  [status.CANCELLED]: 'unavailable',
};

/** Longest text in a status, in characters. Node takes 16 KiB of headers in all, and a text costs up to nine bytes. */
const MAX_MESSAGE = 600;
/** Longest field name, reason or metadata value in the details, in characters. */
const MAX_VALUE = 200;
/** Most bytes of encoded details; in base64 a third more. What does not fit is left out, faults named first stay. */
const MAX_DETAILS_BYTES = 4_096;
/** Where the caller is told nothing better, in milliseconds. */
const DEFAULT_RETRY_MS = 1_000;

function cut(text: string, length: number): string {
  // Half of a surrogate pair would make gRPC throw while it encodes the trailer.
  return (text.length > length ? `${text.slice(0, length - 1)}…` : text).toWellFormed();
}

/** A status for gRPC, with all that a caller may know of the error. Never has a stack or the text of a bug in it. */
export function toStatus(error: unknown): StatusObject {
  if (error instanceof DomainError) {
    return build(CODE_OF[error.kind], cut(error.message, MAX_MESSAGE), detailsOf(error));
  }
  const traceId = currentTraceId();
  const quote = traceId ? ` Quote trace ${traceId} to the operator.` : ' See the log of the service.';
  const info = encodeInfo('INTERNAL', traceId ? { trace_id: traceId } : {});
  return build(status.INTERNAL, `An internal error happened.${quote}`, [info]);
}

function build(code: status, message: string, details: readonly Any[]): StatusObject {
  const metadata = new Metadata();
  const encoded = RpcStatus.encode({ code, message, details: [...details] }).finish();
  metadata.set(DETAILS_KEY, Buffer.from(encoded));
  return { code, details: message, metadata };
}

function pack(type: string, value: Uint8Array): Any {
  return { typeUrl: `type.googleapis.com/google.rpc.${type}`, value: Buffer.from(value) };
}

function encodeInfo(reason: string, metadata: Record<string, string>): Any {
  const entries = Object.entries(metadata).map(([key, value]) => [cut(key, MAX_VALUE), cut(value, MAX_VALUE)]);
  const info = { reason, domain: ERROR_DOMAIN, metadata: {} as Record<string, string> };
  for (const [key, value] of entries) {
    const next = { ...info.metadata, [key ?? '']: value ?? '' };
    if (ErrorInfo.encode({ ...info, metadata: next }).finish().length > MAX_DETAILS_BYTES / 2) break;
    info.metadata = next;
  }
  return pack('ErrorInfo', ErrorInfo.encode(info).finish());
}

function detailsOf(error: DomainError): Any[] {
  const violations = violationsOf(error);
  // The faults are told once, in BadRequest.
  const details = [encodeInfo(error.reason, violations.length > 0 ? {} : error.details)];
  if (violations.length > 0) details.push(pack('BadRequest', encodeViolations(violations)));
  if (error.kind === 'quota') {
    const { projectId = '', resource = '' } = error.details;
    const violation = { subject: `project:${projectId}/${resource}`, description: cut(error.message, MAX_MESSAGE) };
    details.push(pack('QuotaFailure', QuotaFailure.encode({ violations: [violation] }).finish()));
  }
  if (error.kind === 'unavailable') {
    details.push(pack('RetryInfo', RetryInfo.encode({ retryDelay: toDuration(retryAfterOf(error)) }).finish()));
  }
  return details;
}

function violationsOf(error: DomainError): readonly FieldViolation[] {
  return error instanceof InvalidRequest || error instanceof RemoteError ? error.violations : [];
}

function retryAfterOf(error: DomainError): number {
  if (error instanceof Unavailable || error instanceof RemoteError) return error.retryAfterMs ?? DEFAULT_RETRY_MS;
  return DEFAULT_RETRY_MS;
}

function encodeViolations(violations: readonly FieldViolation[]): Uint8Array {
  const kept: FieldViolation[] = [];
  let encoded: Uint8Array = new Uint8Array();
  for (const { field, description, reason } of violations) {
    kept.push({
      field: cut(field, MAX_VALUE),
      description: cut(description, MAX_VALUE),
      reason: cut(reason, MAX_VALUE),
    });
    const next = BadRequest.encode({ fieldViolations: kept }).finish();
    if (next.length > MAX_DETAILS_BYTES / 2) break;
    encoded = next;
  }
  return encoded;
}

function toDuration(ms: number): { seconds: bigint; nanos: number } {
  const whole = Math.max(0, Math.floor(ms));
  return { seconds: BigInt(Math.floor(whole / 1000)), nanos: (whole % 1000) * 1_000_000 };
}

/** A failure that another service of ours reported and that a caller can act on. */
export class RemoteError extends DomainError {
  readonly kind: ErrorKind;
  readonly reason: string;
  /** gRPC status code. */
  readonly code: status;
  /** Every bad field, where the kind is `invalid`. */
  readonly violations: readonly FieldViolation[];
  /** When to try again, in milliseconds, where the kind is `unavailable`. */
  readonly retryAfterMs: number | undefined;
  constructor(kind: ErrorKind, reason: string, message: string, told: RemoteDetails) {
    super(message, told.details, { cause: told.cause });
    this.kind = kind;
    this.reason = reason;
    this.code = told.code;
    this.violations = told.violations;
    this.retryAfterMs = told.retryAfterMs;
  }
}

/** A bug on the other side (INTERNAL, UNKNOWN, UNIMPLEMENTED, DATA_LOSS). No caller can act on it. */
export class RemoteFault extends Error {
  readonly code: status;
  readonly reason: string;
  readonly details: Record<string, string>;
  constructor(message: string, reason: string, told: RemoteDetails) {
    super(message, { cause: told.cause });
    this.name = 'RemoteFault';
    this.code = told.code;
    this.reason = reason;
    this.details = told.details;
  }
}

interface RemoteDetails {
  readonly code: status;
  readonly details: Record<string, string>;
  readonly violations: readonly FieldViolation[];
  readonly retryAfterMs: number | undefined;
  readonly cause: unknown;
}

/** Turns what a gRPC client throws into an error of ours, with everything that the other side told. */
export function fromStatus(error: ServiceError): RemoteError | RemoteFault {
  const told = decode(error);
  const info = told.info ?? { reason: status[error.code] ?? 'UNKNOWN', metadata: {} };
  const kind = KIND_OF[error.code];
  const remote: RemoteDetails = {
    code: error.code,
    details: info.metadata,
    violations: told.badRequest?.fieldViolations ?? [],
    retryAfterMs: toMs(told.retry) ?? (kind === 'unavailable' ? DEFAULT_RETRY_MS : undefined),
    cause: error,
  };
  const message = error.details || error.message;
  return kind ? new RemoteError(kind, info.reason, message, remote) : new RemoteFault(message, info.reason, remote);
}

function toMs(retry: RetryInfo | undefined): number | undefined {
  const delay = retry?.retryDelay;
  return delay ? Number(delay.seconds) * 1000 + Math.round(delay.nanos / 1_000_000) : undefined;
}

interface Told {
  info?: ErrorInfo;
  badRequest?: BadRequest;
  retry?: RetryInfo;
}

function decode(error: ServiceError): Told {
  const encoded = error.metadata?.get(DETAILS_KEY)[0];
  const told: Told = {};
  if (!Buffer.isBuffer(encoded)) return told;
  try {
    for (const { typeUrl, value } of RpcStatus.decode(encoded).details) {
      if (typeUrl.endsWith('/google.rpc.ErrorInfo')) told.info = ErrorInfo.decode(value);
      if (typeUrl.endsWith('/google.rpc.BadRequest')) told.badRequest = BadRequest.decode(value);
      if (typeUrl.endsWith('/google.rpc.RetryInfo')) told.retry = RetryInfo.decode(value);
    }
  } catch {
    // Foreign bytes: the code and the text still tell what happened.
  }
  return told;
}
