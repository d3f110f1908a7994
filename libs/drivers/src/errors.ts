/**
 * One tree of exceptions for all drivers. `unavailable` kinds are retried by the flow engine; any other ends the flow's way
 * forward. Names of the compute ones: compute driver interface of Octavia 0.5.
 */
import { DomainError, type ErrorKind, Unavailable } from '@octavia/domain';

export { NoFreeAddress, VipAddressTaken } from '@octavia/domain';

/** The driver, or what is behind it, cannot do that. */
export class NotImplemented extends DomainError {
  readonly kind = 'state';
  readonly reason = 'NOT_IMPLEMENTED';
  constructor(driver: string, what: string) {
    super(`The ${driver} driver does not support ${what}.`, { driver, what });
  }
}

/** A worker that lost its flow called: a newer holder of the same flow was here already. Stop; change nothing more. */
export class StaleFence extends DomainError {
  readonly kind = 'conflict';
  readonly reason = 'STALE_FENCE';
  constructor(flowId: string, epoch: number, newest: number) {
    super(`Flow ${flowId} was taken over: epoch ${epoch} called after epoch ${newest}. This holder must stop.`, {
      flowId,
      epoch: String(epoch),
      newest: String(newest),
    });
  }
}
/** The endpoint failed too often: no call is made before it has rested. `retryAfterMs` says when the next is let through. */
export class CircuitOpen extends Unavailable {
  constructor(driver: string, endpoint: string, retryAfterMs: number, options?: ErrorOptions) {
    const last = options?.cause instanceof Error ? ` The last time: ${options.cause.message}` : '';
    super(
      'CIRCUIT_OPEN',
      `The ${driver} driver calls ${endpoint} again in ${retryAfterMs} ms: it failed too often just now.${last}`,
      { driver, endpoint, retryAfterMs: String(retryAfterMs) },
      retryAfterMs,
      options,
    );
  }
}

/** Base of everything that a compute driver throws for good, and its catch-all. */
export class AmphoraComputeError extends DomainError {
  readonly kind: ErrorKind = 'state';
  readonly reason: string = 'COMPUTE_ERROR';
}
export class AmphoraBuildError extends AmphoraComputeError {
  override readonly reason = 'AMPHORA_BUILD_FAILED';
}
export class DeleteFailed extends AmphoraComputeError {
  override readonly reason = 'DELETE_FAILED';
}
export class InstanceNotFoundError extends AmphoraComputeError {
  override readonly kind = 'missing';
  override readonly reason = 'INSTANCE_NOT_FOUND';
}
/** The instance belongs to another compute host: only a worker of that host can say or change anything about it. */
export class InstanceOfAnotherHost extends AmphoraComputeError {
  override readonly reason = 'INSTANCE_OF_ANOTHER_HOST';
  constructor(computeId: string, host: string) {
    super(`Instance ${computeId} is not of compute host ${host}. Run a worker on the host that has it.`, {
      computeId,
      host,
    });
  }
}
export class NotSuspendedError extends AmphoraComputeError {
  override readonly reason = 'NOT_SUSPENDED';
}
/** The old holder of an address could not be proved dead. Wait, or let an operator confirm it. */
export class FenceNotConfirmed extends Unavailable {
  constructor(computeId: string, why: string, options?: ErrorOptions) {
    super(
      'FENCE_NOT_CONFIRMED',
      `Instance ${computeId} may still hold the VIP: ${why}.`,
      { computeId, why },
      1000,
      options,
    );
  }
}
export class ComputeUnavailable extends Unavailable {
  constructor(message: string, details: Record<string, string> = {}, options?: ErrorOptions) {
    super('COMPUTE_UNAVAILABLE', message, details, 1000, options);
  }
}
/** The amphora cannot get the VIP, and trying again is of no use: it was fenced, or it is not on this machine. */
export class PlugFailed extends DomainError {
  readonly kind = 'state';
  readonly reason = 'PLUG_FAILED';
}
export class NetworkUnavailable extends Unavailable {
  constructor(message: string, details: Record<string, string> = {}, options?: ErrorOptions) {
    super('NETWORK_UNAVAILABLE', message, details, 1000, options);
  }
}
/** The agent does not answer, or not yet, or its answer cannot be understood. */
export class AmphoraUnavailable extends Unavailable {
  constructor(message: string, details: Record<string, string> = {}, options?: ErrorOptions) {
    super('AMPHORA_UNAVAILABLE', message, details, 1000, options);
  }
}
/** The agent shows a certificate that has run out: nothing is sent to it before it has a new one, by another way. */
export class AgentCertificateExpired extends Unavailable {
  constructor(message: string, details: Record<string, string> = {}, options?: ErrorOptions) {
    super('CERTIFICATE_EXPIRED', message, details, 1000, options);
  }
}
/** The agent checked a configuration and refused it: repeating it is of no use. `message` has HAProxy's words. */
export class ConfigurationRefused extends DomainError {
  readonly kind = 'state';
  readonly reason = 'CONFIGURATION_REFUSED';
  /** Whether it had passed the agent's check, and HAProxy could not serve it. */
  readonly isAtReload: boolean;
  constructor(message: string, details?: Record<string, string>, { isAtReload = false } = {}) {
    super(message, details);
    this.isAtReload = isAtReload;
  }
}
/** The agent answered with an error that a repetition will not change. */
export class AmphoraError extends DomainError {
  readonly kind = 'state';
  readonly reason = 'AMPHORA_ERROR';
}
export class CertificateError extends DomainError {
  readonly kind = 'state';
  readonly reason = 'CERTIFICATE_ERROR';
}
/** The address is not of those that VIPs of the subnet may have. */
export class VipAddressOutside extends DomainError {
  readonly kind = 'invalid';
  readonly reason = 'VIP_ADDRESS_OUTSIDE_RANGE';
  constructor(address: string, subnetId: string, first: string, last: string) {
    super(`The VIP address ${address} is not of subnet ${subnetId}: choose one of ${first} to ${last}, or none.`, {
      address,
      subnetId,
      first,
      last,
    });
  }
}
