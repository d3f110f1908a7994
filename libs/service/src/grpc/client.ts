import { isIP } from 'node:net';
import { checkServerIdentity } from 'node:tls';
import {
  type ChannelCredentials,
  Client,
  type ClientOptions,
  type ClientReadableStream,
  experimental,
  type Metadata,
  type ServiceError,
  status,
} from '@grpc/grpc-js';
import type { Caller } from '@octavia/domain';
import { context, propagation, type Span, SpanKind, trace } from '@opentelemetry/api';
import { formatHostPort, type HostPort, parseHostPort } from '../settings/fields.ts';
import { ATTR } from '../telemetry/names.ts';
import { RpcMetrics } from '../telemetry/rpc-metrics.ts';
import { recordFailure, tracer } from '../telemetry/spans.ts';
import { callerMetadata } from './caller.ts';
import { asMethod, type Definition, type MethodLike, type ReplyOf, type RequestOf, splitPath } from './definition.ts';
import { logGrpc } from './grpc-log.ts';
import { fromStatus } from './status.ts';
import { CertificateFiles, type TlsFiles } from './tls-files.ts';

/** Deadline of a call with one reply, in milliseconds, when the caller gives none. */
export const DEFAULT_DEADLINE_MS = 10_000;

export interface CallOptions {
  /** Milliseconds until the call is given up. Default 10 s; streams have none unless given. */
  deadlineMs?: number;
  /** For whom: project, user, roles and request id go along. */
  caller?: Partial<Caller>;
  /** Gives the call up; the promise rejects with the signal's reason. */
  signal?: AbortSignal;
  /** Waits until the deadline for a server that is not there yet, instead of failing at once. */
  waitForReady?: boolean;
}

export interface RpcClientOptions extends TlsFiles {
  /** Name in the server's certificate, when it is not the host of the address. */
  readonly serverName?: string;
  /** How often the TLS files are looked at, in milliseconds. Default 5 s. */
  readonly tlsReloadMs?: number;
  /** Largest message, in bytes. Default 4 MiB. */
  readonly maxMessageBytes?: number;
}

/** The methods of a service as functions: a promise for one reply, an iterable for a stream of them. */
export type RpcClient<D extends Definition> = {
  readonly [Name in keyof D]: D[Name]['responseStream'] extends true
    ? (request: RequestOf<D[Name]>, options?: CallOptions) => AsyncIterable<ReplyOf<D[Name]>>
    : (request: RequestOf<D[Name]>, options?: CallOptions) => Promise<ReplyOf<D[Name]>>;
} & {
  /** Closes the connection; calls in progress fail. */
  close(): void;
};

/** A generated client class, such as `LoadBalancerServiceClient`. Only its definition is used. */
interface ClientClass<D> {
  readonly service: D;
}

/** Silence after which the connection is probed, and how long the answer may take, in milliseconds. */
const KEEPALIVE_MS = 20_000;
const KEEPALIVE_TIMEOUT_MS = 5_000;

/** Longest wait between two attempts to connect, in milliseconds: our services are near and restart in seconds. */
const MAX_BACKOFF_MS = 1_000;

/**
 * A client of one of our services over mutual TLS. It connects at the first call, by itself again after a failure,
 * and with new certificates when the files change. Methods throw RemoteError or RemoteFault.
 * @throws Error when the TLS files are bad
 */
export function rpcClient<D extends Definition>(
  clientClass: ClientClass<D>,
  address: string | HostPort,
  options: RpcClientOptions,
): RpcClient<D> {
  logGrpc();
  const files = new CertificateFiles(options, options.tlsReloadMs);
  const { host, port } = typeof address === 'string' ? parseHostPort(address) : address;
  const name = options.serverName ?? host;
  const credentials = experimental.createCertificateProviderChannelCredentials(files, files, {
    checkServerIdentity: (_, certificate) => checkServerIdentity(name, certificate),
  });
  const channel = new Channel({ host, port }, credentials, channelOptions(name, options));
  const methods = Object.entries(clientClass.service).map(([name, method]) => [
    name,
    method.responseStream
      ? (request: unknown, call?: CallOptions) => channel.stream(method, request, call)
      : (request: unknown, call?: CallOptions) => channel.unary(method, request, call),
  ]);
  return Object.assign(Object.fromEntries(methods), { close: () => channel.close() }) as RpcClient<D>;
}

/** Sent as the server's name (SNI) to an address without one: TLS allows no addresses there, and Node warns. */
const NAMELESS = 'octavia.internal';

function channelOptions(name: string, { maxMessageBytes }: RpcClientOptions): Partial<ClientOptions> {
  return {
    'grpc.keepalive_time_ms': KEEPALIVE_MS,
    'grpc.keepalive_timeout_ms': KEEPALIVE_TIMEOUT_MS,
    'grpc.initial_reconnect_backoff_ms': 100,
    'grpc.max_reconnect_backoff_ms': MAX_BACKOFF_MS,
    'grpc.enable_http_proxy': 0,
    'grpc.enable_channelz': 0,
    'grpc.use_local_subchannel_pool': 1,
    'grpc.ssl_target_name_override': isIP(name) === 0 ? name : NAMELESS,
    ...(maxMessageBytes
      ? { 'grpc.max_receive_message_length': maxMessageBytes, 'grpc.max_send_message_length': maxMessageBytes }
      : {}),
  };
}

const setter = { set: (metadata: Metadata, key: string, value: string) => metadata.set(key, value) };

class Channel {
  readonly #client: Client;
  readonly #server: HostPort;
  readonly #metrics = new RpcMetrics('client');

  constructor(server: HostPort, credentials: ChannelCredentials, options: Partial<ClientOptions>) {
    this.#server = server;
    this.#client = new Client(formatHostPort(server), credentials, options);
  }

  close(): void {
    this.#client.close();
  }

  async unary<M extends MethodLike>(method: M, request: unknown, options: CallOptions = {}): Promise<ReplyOf<M>> {
    options.signal?.throwIfAborted();
    const { path, requestSerialize, responseDeserialize } = asMethod(method);
    const measured = this.#begin(path);
    const metadata = measured.metadata(options);
    const deadline = Date.now() + (options.deadlineMs ?? DEFAULT_DEADLINE_MS);
    return await new Promise<ReplyOf<M>>((resolve, reject) => {
      const call = this.#client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        metadata,
        { deadline },
        (error, reply) => {
          unlisten();
          measured.end(error);
          if (!error) resolve(reply as ReplyOf<M>);
          else reject(options.signal?.aborted ? options.signal.reason : fromStatus(error));
        },
      );
      const unlisten = onAbort(options.signal, () => call.cancel());
    });
  }

  async *stream<M extends MethodLike>(
    method: M,
    request: unknown,
    options: CallOptions = {},
  ): AsyncIterable<ReplyOf<M>> {
    options.signal?.throwIfAborted();
    const { path, requestSerialize, responseDeserialize } = asMethod(method);
    const measured = this.#begin(path);
    const metadata = measured.metadata(options);
    const deadline = options.deadlineMs === undefined ? undefined : Date.now() + options.deadlineMs;
    const call: ClientReadableStream<unknown> = this.#client.makeServerStreamRequest(
      path,
      requestSerialize,
      responseDeserialize,
      request,
      metadata,
      { deadline },
    );
    const unlisten = onAbort(options.signal, () => call.cancel());
    let failure: ServiceError | null = null;
    call.on('error', (error: ServiceError) => {
      failure = error;
    });
    try {
      yield* call as AsyncIterable<ReplyOf<M>>;
    } catch (error) {
      if (options.signal?.aborted) throw options.signal.reason;
      throw isServiceError(error) ? fromStatus(error) : error;
    } finally {
      unlisten();
      measured.end(failure);
      // The reader may have left early: what is still coming is not wanted.
      call.cancel();
    }
  }

  #begin(path: string): MeasuredCall {
    return new MeasuredCall(path, this.#server, this.#metrics);
  }
}

/** One call: its span, its metadata and its measure. */
class MeasuredCall {
  readonly #metrics: RpcMetrics;
  readonly #full: string;
  readonly #service: string;
  readonly #span: Span;
  readonly #startedAt = performance.now();

  constructor(path: string, { host, port }: HostPort, metrics: RpcMetrics) {
    const { full, service } = splitPath(path);
    const attributes = {
      [ATTR.RPC_SYSTEM]: 'grpc',
      [ATTR.RPC_SERVICE]: service,
      [ATTR.RPC_METHOD]: full,
      [ATTR.SERVER_ADDRESS]: host,
      [ATTR.SERVER_PORT]: port,
    };
    this.#metrics = metrics;
    this.#full = full;
    this.#service = service;
    this.#span = tracer().startSpan(full, { kind: SpanKind.CLIENT, attributes });
  }

  metadata({ caller, waitForReady }: CallOptions): Metadata {
    const metadata = callerMetadata(caller);
    metadata.setOptions({ waitForReady: waitForReady ?? false });
    propagation.inject(trace.setSpan(context.active(), this.#span), metadata, setter);
    return metadata;
  }

  end(error: ServiceError | null): void {
    const code = error ? error.code : status.OK;
    const seconds = (performance.now() - this.#startedAt) / 1000;
    this.#metrics.record({ full: this.#full, service: this.#service, code, seconds });
    this.#span.setAttribute(ATTR.RPC_STATUS, status[code] ?? String(code));
    if (error) recordFailure(this.#span, fromStatus(error));
    this.#span.end();
  }
}

function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && 'code' in error && 'details' in error && 'metadata' in error;
}

function onAbort(signal: AbortSignal | undefined, act: () => void): () => void {
  if (!signal) return () => {};
  signal.addEventListener('abort', act, { once: true });
  return () => signal.removeEventListener('abort', act);
}
