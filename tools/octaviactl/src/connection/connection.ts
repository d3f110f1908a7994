/** One connection to the api-gateway: mutual TLS, the caller's identity on each call, safe repetition. */
import { Client, type ClientReadableStream, credentials, Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { CliError, EXIT } from '../errors.ts';
import { type ConnectionFile, readPrivate } from './config-file.ts';

/** Who calls, and under which request id. */
export interface Identity {
  readonly projectId: string;
  readonly userId: string;
  readonly roles: readonly string[];
  readonly requestId: string;
}

/** A method of the contract, as generated. */
export interface Method<Request, Reply> {
  readonly path: string;
  readonly requestSerialize: (value: Request) => Buffer;
  readonly responseDeserialize: (bytes: Buffer) => Reply;
}

/** How long one call may take, in milliseconds. Nothing slow happens inside a call, so this is generous. */
const CALL_DEADLINE_MS = 30_000;
/** Waits before the repetitions of a call that found no server, in milliseconds: a database that ended is back in two seconds. */
const RETRY_DELAYS_MS = [100, 300, 900, 1_800];

/** Tells whether the same call may succeed a moment later. */
export function isUnavailable(error: unknown): boolean {
  return (error as Partial<ServiceError>)?.code === status.UNAVAILABLE;
}

/** Tells whether the object is not there. */
export function isNotFound(error: unknown): boolean {
  return (error as Partial<ServiceError>)?.code === status.NOT_FOUND;
}

export class Connection {
  readonly #client: Client;
  readonly #metadata: Metadata;

  /** @throws CliError CERTIFICATE_MISSING when a file that the connection file names is absent or unreadable */
  constructor(file: ConnectionFile, identity: Identity) {
    const secure = credentials.createSsl(needed(file.caFile), needed(file.keyFile), needed(file.certFile));
    this.#client = new Client(file.address, secure, {
      'grpc.enable_http_proxy': 0, // The controller is never behind the proxy that http_proxy names.
      'grpc.initial_reconnect_backoff_ms': 100,
      'grpc.min_reconnect_backoff_ms': 100,
      'grpc.max_reconnect_backoff_ms': 1000,
      // One page of a list may hold a thousand objects with all their texts.
      'grpc.max_receive_message_length': 64 * 1024 * 1024,
    });
    this.#metadata = new Metadata();
    this.#metadata.set('x-project-id', identity.projectId);
    this.#metadata.set('x-user-id', identity.userId);
    this.#metadata.set('x-roles', identity.roles.join(','));
    this.#metadata.set('x-request-id', identity.requestId);
  }

  /** Calls, and calls again when no server answered: changes carry a request id, so twice is as good as once. */
  async call<Request, Reply>(method: Method<Request, Reply>, request: Request): Promise<Reply> {
    for (const delayMs of RETRY_DELAYS_MS) {
      try {
        return await this.#once(method, request);
      } catch (error) {
        if (!isUnavailable(error)) throw error;
        await new Promise((resolve) => setTimeout(resolve, delayMs));
      }
    }
    return this.#once(method, request);
  }

  #once<Request, Reply>(method: Method<Request, Reply>, request: Request): Promise<Reply> {
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest<Request, Reply>(
        method.path,
        method.requestSerialize,
        method.responseDeserialize,
        request,
        this.#metadata,
        { deadline: Date.now() + CALL_DEADLINE_MS },
        (error, reply) => {
          if (error) reject(error);
          else resolve(reply as Reply);
        },
      );
    });
  }

  /** Opens a stream of replies. The caller cancels it. */
  stream<Request, Reply>(method: Method<Request, Reply>, request: Request): ClientReadableStream<Reply> {
    return this.#client.makeServerStreamRequest<Request, Reply>(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      request,
      this.#metadata,
    );
  }

  close(): void {
    this.#client.close();
  }
}

function needed(path: string): Buffer {
  const content = readPrivate(path);
  if (content) return content;
  throw new CliError(`There is no file ${path}, which the connection file names.`, {
    exitCode: EXIT.cannotConnect,
    reason: 'CERTIFICATE_MISSING',
    hint: 'Start the controller again (npm start): that writes certificates and connection file anew.',
  });
}
