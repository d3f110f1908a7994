import { type ServiceError, status } from '@grpc/grpc-js';
import {
  DomainError,
  EtagMismatch,
  InvalidRequest,
  LoadBalancerBeingDeleted,
  NotFound,
  QuotaExceeded,
  RoleRequired,
  Unavailable,
} from '@octavia/domain';
import { QuotaFailure, RpcStatus } from '@octavia/proto';
import { describe, expect, it } from 'vitest';
import { fromStatus, RemoteError, RemoteFault, toStatus } from './status.ts';

class PortTaken extends DomainError {
  readonly kind = 'exists';
  readonly reason = 'LISTENER_PORT_TAKEN';
}

/** Sends the error as a trailer, and reads it as a client does. */
function roundTrip(error: unknown): RemoteError | RemoteFault {
  const sent = toStatus(error);
  return fromStatus(Object.assign(new Error(sent.details), sent) as ServiceError);
}

const violation = { field: 'listener.protocol_port', description: 'must be from 1 to 65535', reason: 'OUT_OF_RANGE' };

const known: [DomainError, status][] = [
  [new InvalidRequest([violation]), status.INVALID_ARGUMENT],
  [new RoleRequired('load_balancer:create', 'load-balancer_member'), status.PERMISSION_DENIED],
  [new NotFound('load balancer', '1'), status.NOT_FOUND],
  [new PortTaken('The port is taken.', { port: '80' }), status.ALREADY_EXISTS],
  [new EtagMismatch('1'), status.ABORTED],
  [new LoadBalancerBeingDeleted('1'), status.FAILED_PRECONDITION],
  [new QuotaExceeded('p', 'load_balancer', 10), status.RESOURCE_EXHAUSTED],
  [new Unavailable('NETWORK_UNAVAILABLE', 'The network does not answer.', { host: 'n1' }, 2500), status.UNAVAILABLE],
];

describe('an error as a status', () => {
  for (const [error, code] of known) {
    it(`keeps kind, reason and message of ${error.kind} under ${status[code]}`, () => {
      const remote = roundTrip(error);
      expect(remote).toBeInstanceOf(RemoteError);
      expect(remote).toMatchObject({ code, kind: error.kind, reason: error.reason, message: error.message });
    });
  }

  it('keeps the details, every violation and the time to wait', () => {
    expect(roundTrip(new EtagMismatch('7')).details).toEqual({ id: '7' });
    const second = { ...violation, field: 'listener.name' };
    const invalid = roundTrip(new InvalidRequest([violation, second]));
    expect(invalid).toMatchObject({ reason: 'INVALID_REQUEST', violations: [violation, second] });
    expect(roundTrip(new Unavailable('AWAY', 'Away.', {}, 2500))).toMatchObject({ retryAfterMs: 2500 });
  });

  it('names the project and the resource whose quota is used up', () => {
    const sent = toStatus(new QuotaExceeded('p1', 'listener', 5)).metadata.get('grpc-status-details-bin')[0];
    const { details } = RpcStatus.decode(sent as Buffer);
    const failure = details.find(({ typeUrl }) => typeUrl.endsWith('QuotaFailure'));
    expect(QuotaFailure.decode(failure?.value ?? Buffer.alloc(0)).violations).toMatchObject([
      { subject: 'project:p1/listener' },
    ]);
  });

  it('hides the text of a bug', () => {
    const remote = roundTrip(new TypeError('password is hunter2'));
    expect(remote).toBeInstanceOf(RemoteFault);
    expect(remote).toMatchObject({ code: status.INTERNAL, reason: 'INTERNAL' });
    expect(JSON.stringify([remote.message, remote.details])).not.toContain('hunter2');
  });

  it('passes on through a second service what the first one said', () => {
    const twice = roundTrip(roundTrip(new InvalidRequest([violation])));
    expect(twice).toMatchObject({ kind: 'invalid', reason: 'OUT_OF_RANGE', violations: [violation] });
  });

  it('stays small enough for a header, however much went wrong', () => {
    const many = Array.from({ length: 5000 }, (_, index) => ({
      ...violation,
      field: `members[${index}].${'x'.repeat(300)}`,
    }));
    const { metadata, details } = toStatus(new InvalidRequest(many));
    const bytes = (metadata.get('grpc-status-details-bin')[0] as Buffer).length;
    expect(bytes * 1.34 + encodeURI(details).length).toBeLessThan(12_000);
    expect(roundTrip(new InvalidRequest(many))).toMatchObject({ kind: 'invalid' });
  });

  it('survives half a surrogate pair, by which gRPC would throw', () => {
    const { details } = toStatus(new Unavailable('BAD_TEXT', `name \ud800 ${'é'.repeat(1000)}`));
    expect(() => encodeURI(details)).not.toThrow();
  });

  it('is understood without details, as gRPC itself sends it', () => {
    const plain = Object.assign(new Error('14 UNAVAILABLE: gone'), { code: status.UNAVAILABLE, details: 'gone' });
    expect(fromStatus(plain as ServiceError)).toMatchObject({
      kind: 'unavailable',
      reason: 'UNAVAILABLE',
      message: 'gone',
    });
    const missing = Object.assign(new Error('x'), { code: status.UNIMPLEMENTED, details: 'no such method' });
    expect(fromStatus(missing as ServiceError)).toBeInstanceOf(RemoteFault);
  });
});
