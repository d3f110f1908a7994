/** Turns what a call threw into what the person reads. */
import { type ServiceError, status } from '@grpc/grpc-js';
import { BadRequest, ErrorInfo, RpcStatus } from '@octavia/proto';
import { type BadField, CliError, EXIT } from '../errors.ts';

/** What is known about the command that failed. */
export interface FailureContext {
  /** Its long options, such as `--protocol-port`. */
  readonly options: readonly string[];
  /** host:port of the controller; undefined before it is known. */
  readonly address: string | undefined;
  readonly requestId: string;
}

/** Gives the failure as a CliError; anything that is none, and came from no call, is a bug and returned as it is. */
export function fromFailure(error: unknown, context: FailureContext): unknown {
  if (error instanceof CliError || !isServiceError(error)) return error;
  const { info, fields, message } = detailsOf(error, context.options);
  if (error.code === status.UNAVAILABLE && !info) return cannotConnect(error, context);
  return new CliError(message, {
    exitCode: exitCodeOf(error.code),
    reason: info?.reason || (status[error.code] ?? 'UNKNOWN'),
    fields,
    hint: hintOf(error.code, context.requestId),
    details: { code: status[error.code], ...info?.metadata, request_id: context.requestId },
  });
}

function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && 'code' in error && typeof error.code === 'number' && 'metadata' in error;
}

function detailsOf(
  error: ServiceError,
  options: readonly string[],
): { info?: ErrorInfo; fields: BadField[]; message: string } {
  const packed = error.metadata.get('grpc-status-details-bin')[0];
  if (!(packed instanceof Uint8Array)) return { fields: [], message: error.details || error.message };
  const rich = RpcStatus.decode(packed);
  let info: ErrorInfo | undefined;
  const fields: BadField[] = [];
  for (const { typeUrl, value } of rich.details) {
    if (typeUrl.endsWith('/google.rpc.ErrorInfo')) info = ErrorInfo.decode(value);
    if (!typeUrl.endsWith('/google.rpc.BadRequest')) continue;
    for (const violation of BadRequest.decode(value).fieldViolations) {
      const option = optionOf(violation.field, options);
      fields.push({ option, message: violation.description, reason: violation.reason });
    }
  }
  return { info, fields, message: rich.message || error.details };
}

function exitCodeOf(code: status): number {
  if (code === status.NOT_FOUND) return EXIT.notFound;
  return code === status.INVALID_ARGUMENT ? EXIT.usage : EXIT.failed;
}

function hintOf(code: status, requestId: string): string | undefined {
  switch (code) {
    case status.INTERNAL:
    case status.UNKNOWN:
      return `Look for request id ${requestId} in the log of the api-gateway.`;
    case status.DEADLINE_EXCEEDED:
      return 'The controller did not answer in time. See how it is with: octaviactl status';
    case status.UNAUTHENTICATED:
    case status.PERMISSION_DENIED:
      return 'Other roles: --role, or roles in the connection file.';
    case status.UNAVAILABLE:
      return 'See what is missing with: octaviactl status';
    case status.UNIMPLEMENTED:
      return 'The controller is older than this octaviactl. Compare the versions: octaviactl status';
    default:
      return undefined;
  }
}

function cannotConnect(error: ServiceError, { address }: FailureContext): CliError {
  const cause = error.details
    .replace(/^No connection established\. Last error: (Error: )?/, '')
    .replace(/\.? *Resolution note:.*$/s, '')
    .replace(/ *\(?\d{4}-\d\d-\d\dT.*$/, '');
  const distrust = /certificate|self.signed|tls|ssl|altname|alert/i.test(cause);
  return new CliError(`Cannot connect to the controller at ${address ?? 'an unknown address'}: ${cause}`, {
    exitCode: EXIT.cannotConnect,
    reason: 'CANNOT_CONNECT',
    hint: distrust
      ? 'Its certificate and those of the connection file do not fit: is another controller at this address?'
      : 'Is the controller running? Start it with: npm start',
    details: { address },
  });
}

/** Fields whose option has another name; arguments are in angle brackets as in the usage. */
const OPTIONS_OF_FIELDS: Readonly<Record<string, readonly string[]>> = {
  admin_state_up: ['--enable', '--disable'],
  backup: ['--enable-backup', '--disable-backup'],
  default_pool_id: ['--default-pool'],
  flavor_id: ['--flavor'],
  flavor_profile_id: ['--flavorprofile'],
  availability_zone_profile_id: ['--availabilityzoneprofile'],
  listener_id: ['--listener'],
  project_id: ['--project'],
  tags: ['--tag'],
};
const ARGUMENTS_OF_FIELDS: Readonly<Record<string, string>> = {
  load_balancer_id: '<loadbalancer>',
  pool_id: '<pool>',
};

/** The option that a field such as `listener.protocol_port` or `pool.session_persistence.type` was given by. */
export function optionOf(field: string, options: readonly string[]): string {
  const parts = field.replace(/\[[^\]]*\]/g, '').split('.');
  for (const part of parts.reverse()) {
    const named = OPTIONS_OF_FIELDS[part];
    if (named && (part === 'project_id' || named.some((option) => options.includes(option)))) return named.join('/');
    const same = `--${part.replaceAll('_', '-')}`;
    if (options.includes(same)) return same;
    if (part === 'load_balancer_id' && options.includes('--loadbalancer')) return '--loadbalancer';
    const argument = ARGUMENTS_OF_FIELDS[part];
    if (argument) return argument;
  }
  return field;
}
