/** What a caller can do about a failure; gives the gRPC code. */
export type ErrorKind =
  | 'invalid'
  | 'forbidden'
  | 'missing'
  | 'exists'
  | 'conflict'
  | 'state'
  | 'range'
  | 'quota'
  | 'unavailable';

/** A failure that a caller can act on. Anything else that is thrown is a bug and leaves as INTERNAL. */
export abstract class DomainError extends Error {
  abstract readonly kind: ErrorKind;
  /** UPPER_SNAKE_CASE, never renamed: clients compare it. */
  abstract readonly reason: string;
  /** Every value that the message mentions. */
  readonly details: Record<string, string>;
  constructor(message: string, details: Record<string, string> = {}, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
    this.details = details;
  }
}

/** One thing that is wrong with one field of a request. */
export interface FieldViolation {
  /** Path in the request, such as `listener.protocol_port`. */
  readonly field: string;
  /** For a person: what it must be. */
  readonly description: string;
  /** UPPER_SNAKE_CASE, such as OUT_OF_RANGE. */
  readonly reason: string;
}

/** A request with faults, all of which are named at once. */
export class InvalidRequest extends DomainError {
  readonly kind = 'invalid';
  readonly reason: string;
  readonly violations: readonly FieldViolation[];
  constructor(violations: readonly FieldViolation[]) {
    super(
      violations.map((violation) => `${violation.field}: ${violation.description}`).join('; '),
      Object.fromEntries(violations.map((violation) => [violation.field, violation.reason])),
    );
    this.violations = violations;
    this.reason = violations.length === 1 && violations[0] ? violations[0].reason : 'INVALID_REQUEST';
  }
}

export class NotFound extends DomainError {
  readonly kind = 'missing';
  readonly reason: string;
  /** @param noun such as `load balancer`, in lower case */
  constructor(noun: string, id: string) {
    super(`There is no ${noun} ${id}.`, { id });
    this.reason = `${noun.toUpperCase().replaceAll(' ', '_')}_NOT_FOUND`;
  }
}

export class RoleRequired extends DomainError {
  readonly kind = 'forbidden';
  readonly reason = 'ROLE_REQUIRED';
  constructor(action: string, role: string) {
    super(`${action} needs the role ${role}. Ask the owner of the project for it.`, { action, role });
  }
}

export class EtagMismatch extends DomainError {
  readonly kind = 'conflict';
  readonly reason = 'ETAG_MISMATCH';
  constructor(id: string) {
    super(`${id} has changed since it was read. Get it again, then repeat the change.`, { id });
  }
}

/** Something with the same unique property is there already. */
export class AlreadyExists extends DomainError {
  readonly kind = 'exists';
  readonly reason: string;
  constructor(reason: string, message: string, details: Record<string, string>) {
    super(message, details);
    this.reason = reason;
  }
}

/** The address is in use, or rests after its last use. */
export class VipAddressTaken extends DomainError {
  readonly kind = 'exists';
  readonly reason = 'VIP_ADDRESS_TAKEN';
  constructor(address: string) {
    super(`The VIP address ${address} is taken. Choose another, or leave it out to get a free one.`, { address });
  }
}

export class NoFreeAddress extends DomainError {
  readonly kind = 'quota';
  readonly reason = 'NO_FREE_ADDRESS';
  constructor(subnetId: string) {
    super(`Subnet ${subnetId} has no free address for a VIP. Delete load balancers, or name another subnet.`, {
      subnetId,
    });
  }
}

/** What the call names is going away. Not for load balancers: see `LoadBalancerBeingDeleted`. */
export class BeingDeleted extends DomainError {
  readonly kind = 'state';
  readonly reason: string;
  /** @param noun such as `pool`, in lower case */
  constructor(noun: string, id: string) {
    super(`The ${noun} ${id} is being deleted and takes no more changes.`, { id });
    this.reason = `${noun.toUpperCase().replaceAll(' ', '_')}_BEING_DELETED`;
  }
}

export class HasChildren extends DomainError {
  readonly kind = 'state';
  readonly reason = 'HAS_CHILDREN';
  constructor(id: string) {
    super(`Load balancer ${id} has listeners or pools. Delete them first, or delete it with cascade.`, { id });
  }
}

export class LoadBalancerBeingDeleted extends DomainError {
  readonly kind = 'state';
  readonly reason = 'LOAD_BALANCER_BEING_DELETED';
  constructor(id: string) {
    super(`Load balancer ${id} is being deleted and takes no more changes.`, { id });
  }
}

/** Others refer to it, so it can neither go nor change its meaning. */
export class InUse extends DomainError {
  readonly kind = 'state';
  readonly reason: string;
  /** @param noun such as `flavor`, in lower case @param by such as `load balancer` @param advice what to do */
  constructor(noun: string, name: string, by: string, advice: string) {
    super(`The ${noun} ${name} is in use by a ${by}. ${advice}`, { name, by });
    this.reason = `${noun.toUpperCase().replaceAll(' ', '_')}_IN_USE`;
  }
}

/** What a caller wants to look back to was recorded too long ago. */
export class HistoryPurged extends DomainError {
  readonly kind = 'state';
  readonly reason = 'HISTORY_PURGED';
  constructor(loadBalancerId: string, revision: number, oldest: number) {
    super(
      `Changes of load balancer ${loadBalancerId} since revision ${revision} are not kept any more. The oldest to go back to is ${oldest}.`,
      { loadBalancerId, revision: String(revision), oldest: String(oldest) },
    );
  }
}

/** An object of an earlier revision does not fit any more. */
export class RollbackNotPossible extends DomainError {
  readonly kind = 'state';
  readonly reason = 'ROLLBACK_NOT_POSSIBLE';
  /** @param noun such as `pool`, in lower case @param why a sentence */
  constructor(noun: string, id: string, why: string, options?: ErrorOptions) {
    super(`The ${noun} ${id} cannot be as it was: ${why}`, { id, why }, options);
  }
}

/** The provider cannot do that yet: nothing is accepted that no data plane would serve. */
export class UnsupportedByProvider extends DomainError {
  readonly kind = 'state';
  readonly reason = 'UNSUPPORTED_BY_PROVIDER';
  /** @param hint what to do about it; default: where to read what is supported */
  constructor(field: string, value: string, hint = 'GetCapabilities lists what is.') {
    super(`${field} ${value} is not supported by the amphora provider of this deployment. ${hint}`, {
      field,
      value,
    });
  }
}

export class QuotaExceeded extends DomainError {
  readonly kind = 'quota';
  readonly reason = 'QUOTA_EXCEEDED';
  constructor(projectId: string, resource: string, limit: number) {
    super(
      `Project ${projectId} has reached its quota of ${limit} for ${resource}. Delete some, or ask for a higher quota.`,
      {
        projectId,
        resource,
        limit: String(limit),
      },
    );
  }
}

/** Something that we depend on does not answer; the same call may succeed later. Drivers derive their own from it. */
export class Unavailable extends DomainError {
  readonly kind = 'unavailable';
  readonly reason: string;
  /** When to try again, in milliseconds. */
  readonly retryAfterMs: number;
  constructor(
    reason: string,
    message: string,
    details: Record<string, string> = {},
    retryAfterMs = 1000,
    options?: ErrorOptions,
  ) {
    super(message, details, options);
    this.reason = reason;
    this.retryAfterMs = retryAfterMs;
  }
}

/** Turns anything that was thrown into a fault to keep and show. */
export function faultOf(error: unknown): { reason: string; message: string } {
  if (error instanceof DomainError) return { reason: error.reason, message: error.message };
  return { reason: 'INTERNAL', message: error instanceof Error ? error.message : String(error) };
}
