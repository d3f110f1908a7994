import { performance } from 'node:perf_hooks';
import {
  type Deadline,
  ServerInterceptingCall,
  type ServerInterceptingCallInterface,
  type ServerInterceptor,
  status,
} from '@grpc/grpc-js';
import { DomainError } from '@octavia/domain';
import type { Logger } from '../process/logger.ts';
import type { RpcMetrics } from '../telemetry/rpc-metrics.ts';
import { splitPath } from './definition.ts';
import { toStatus } from './status.ts';

/** The service of grpc.health.v1, open to every client that our authority signed: probes come from anywhere. */
const HEALTH_SERVICE = 'grpc.health.v1.Health';

/** The client's certificate is good, but its name is not on the list of this service. */
export class ClientNotAllowed extends DomainError {
  readonly kind = 'forbidden';
  readonly reason = 'CLIENT_NOT_ALLOWED';
  constructor(client: string) {
    super(`The client ${client || '(without a name)'} may not call this service. Add it to GRPC_ALLOWED_CLIENTS.`, {
      client,
    });
  }
}

type AuthContext = ReturnType<ServerInterceptingCallInterface['getAuthContext']>;

/** HTTP/2 forbids another certificate on the same connection (RFC 9113, section 9.2.1). */
const byConnection = new WeakMap<object, AuthContext>();

/** Who a connection is, read once: parsing the certificate took an eighth of a gateway's time, twice for each call. */
function authContextOf(call: ServerInterceptingCallInterface): AuthContext {
  // Not in the types of grpc-js; without it every call reads the certificate, as grpc-js does.
  const { session } = (call as { stream?: { session?: object } }).stream ?? {};
  const known = session && byConnection.get(session);
  if (known) return known;
  const context = call.getAuthContext();
  if (session && context.sslPeerCertificate) byConnection.set(session, context);
  return context;
}

/** A call that knows who its connection is. */
class KnownCall extends ServerInterceptingCall {
  readonly #context: () => AuthContext;

  constructor(call: ServerInterceptingCallInterface, responder: Responder) {
    super(call, responder);
    this.#context = () => authContextOf(call);
  }

  override getAuthContext(): AuthContext {
    return this.#context();
  }
}
type Responder = ConstructorParameters<typeof ServerInterceptingCall>[1];

/** Common name of the certificate that the client proved to hold; empty when there is none. */
export function clientName(call: Pick<ServerInterceptingCallInterface, 'getAuthContext'>): string {
  // At run time the subject is absent when the certificate has none; a repeated CN gives a list, which nobody has.
  const name: unknown = call.getAuthContext().sslPeerCertificate?.subject?.CN;
  return typeof name === 'string' ? name : '';
}

/**
 * Looks at every call before any handler, also those that never reach one: refuses clients that are not on the
 * list, and measures the time until the status.
 */
export function admission(allowed: readonly string[], metrics: RpcMetrics, log: Logger): ServerInterceptor {
  const names = new Set(allowed);
  const isOpen = names.has('*');
  return ({ path }, call) => {
    const { full, service } = splitPath(path);
    const startedAt = performance.now();
    let isMeasured = false;
    const measure = (code: status): void => {
      if (isMeasured) return;
      isMeasured = true;
      metrics.record({ full, service, code, seconds: (performance.now() - startedAt) / 1000 });
    };
    const client = safely(() => clientName({ getAuthContext: () => authContextOf(call) }), log);
    const isAdmitted = service === HEALTH_SERVICE || (client !== undefined && (isOpen || names.has(client)));
    return new KnownCall(call, {
      start(next) {
        next({
          onReceiveMetadata(metadata, pass) {
            if (isAdmitted) return pass(metadata);
            const refused = new ClientNotAllowed(client ?? '');
            log.warn({ client, method: full }, 'client refused');
            measure(status.PERMISSION_DENIED);
            call.sendStatus(toStatus(refused));
          },
          // Comes after a normal end too, but the status was measured before.
          onCancel: () => measure(hasPassed(call.getDeadline()) ? status.DEADLINE_EXCEEDED : status.CANCELLED),
        });
      },
      sendStatus(sent, next) {
        measure(sent.code);
        next(sent);
      },
    });
  };
}

function hasPassed(deadline: Deadline): boolean {
  return Number(deadline) <= Date.now();
}

/** A throw in an interceptor would end the process. */
function safely<T>(read: () => T, log: Logger): T | undefined {
  try {
    return read();
  } catch (error) {
    log.error({ err: error }, 'reading the client certificate failed');
    return undefined;
  }
}
