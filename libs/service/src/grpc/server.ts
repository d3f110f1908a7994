import { experimental, Server, type ServerOptions, type UntypedServiceImplementation } from '@grpc/grpc-js';
import { HealthImplementation } from 'grpc-health-check';
import { type Logger, logger } from '../process/logger.ts';
import type { Part } from '../process/run.ts';
import { formatHostPort, type HostPort } from '../settings/fields.ts';
import { ATTR, METRIC } from '../telemetry/names.ts';
import { RpcMetrics } from '../telemetry/rpc-metrics.ts';
import { meter } from '../telemetry/spans.ts';
import { admission } from './admission.ts';
import { asMethod, type Definition, type Handlers, splitPath } from './definition.ts';
import { logGrpc } from './grpc-log.ts';
import { bodyOf } from './handlers.ts';
import { HealthService } from './health.ts';
import { reflectionService } from './reflection.ts';
import { CallRunner, Undecodable } from './serve.ts';
import { CertificateFiles, type TlsFiles } from './tls-files.ts';

export interface GrpcServerOptions {
  /** Where to listen; port 0 lets the system choose, `address` tells which. */
  readonly bind: HostPort;
  readonly tls: TlsFiles;
  /** Common names of the client certificates that may call; `*` for every certificate of our authority. */
  readonly allowedClients: readonly string[];
  /** How long calls in progress may take to end when the server stops, in milliseconds. Default 5 s. */
  readonly drainMs?: number;
  /** Largest message, in bytes. Default 4 MiB, gRPC's own. */
  readonly maxMessageBytes?: number;
  /** How often the TLS files are looked at, in milliseconds. Default 5 s. */
  readonly tlsReloadMs?: number;
  /** Gives an error that a handler threw a name that a caller can act on, such as trouble with a database. Default: as it is. */
  readonly nameError?: (error: unknown) => unknown;
  readonly log?: Logger;
}

const DEFAULT_DRAIN_MS = 5_000;
const DEFAULT_MESSAGE_BYTES = 4_194_304;

/** How long the last answers may take to leave before connections are cut, in milliseconds. */
const ABANDON_MS = 200;

/** Silence after which a connection is probed, and how long the answer may take, in milliseconds. */
const KEEPALIVE_MS = 20_000;
const KEEPALIVE_TIMEOUT_MS = 5_000;

/** Most calls in progress on one connection. Source: the least that RFC 9113 recommends, tenfold. */
const MAX_STREAMS = 1_000;

/**
 * Age at which clients are asked to connect anew, in milliseconds; calls in progress end first. A certificate is
 * checked at the handshake only, so this is how long one that was replaced or withdrawn goes on working.
 */
const MAX_CONNECTION_AGE_MS = 3_600_000;

/**
 * A gRPC server of ours: mutual TLS with certificates that follow their files, a list of clients, grpc.health.v1,
 * reflection, rich errors, traces and metrics. Handlers made by `unary` and `serverStream` may throw anything.
 */
export class GrpcServer implements Part {
  readonly name = 'grpc server';
  readonly #options: GrpcServerOptions;
  readonly #log: Logger;
  readonly #server: Server;
  readonly #calls: CallRunner;
  readonly #health = new HealthService(new HealthImplementation({ '': 'NOT_SERVING' }));
  readonly #services: string[] = [];
  #address: HostPort | undefined;

  constructor(options: GrpcServerOptions) {
    logGrpc();
    this.#options = options;
    this.#log = options.log ?? logger('grpc');
    this.#calls = new CallRunner(this.#log, options.nameError);
    this.#server = new Server(this.#serverOptions());
    this.#health.addTo(this.#server);
  }

  #serverOptions(): ServerOptions {
    const bytes = this.#options.maxMessageBytes ?? DEFAULT_MESSAGE_BYTES;
    return {
      'grpc.max_receive_message_length': bytes,
      'grpc.max_send_message_length': bytes,
      'grpc.keepalive_time_ms': KEEPALIVE_MS,
      'grpc.keepalive_timeout_ms': KEEPALIVE_TIMEOUT_MS,
      'grpc.max_concurrent_streams': MAX_STREAMS,
      'grpc.max_connection_age_ms': MAX_CONNECTION_AGE_MS,
      // Channelz stays on: without it grpc-js 1.14 knows no connections that forceShutdown could close.
      interceptors: [admission(this.#options.allowedClients, new RpcMetrics('server'), this.#log)],
    };
  }

  /**
   * Adds a service. Methods without a handler answer UNIMPLEMENTED.
   * @throws Error when a handler was not made by `unary` or `serverStream`, or the server runs
   */
  add<D extends Definition>(definition: D, handlers: Handlers<D>): this {
    if (this.#address) throw new Error('Add services before the server starts.');
    const implementation: UntypedServiceImplementation = {};
    for (const [name, handler] of Object.entries(handlers)) {
      if (handler === undefined) continue;
      const body = bodyOf(handler);
      if (!body) throw new Error(`Handler ${name} is bare: wrap it with unary() or serverStream().`);
      implementation[name] = body.kind === 'unary' ? this.#calls.unary(body) : this.#calls.serverStream(body);
    }
    const methods = Object.entries(definition).map(([name, method]) => [name, this.#guarded(asMethod(method))]);
    this.#server.addService(Object.fromEntries(methods), implementation);
    const [first] = Object.values(definition);
    if (first) this.#services.push(splitPath(first.path).service);
    return this;
  }

  /**
   * A request that cannot be decoded is the caller's fault, and told as such when its call is run. A reply that cannot be encoded
   * is a bug of ours: its text stays here.
   */
  #guarded(method: ReturnType<typeof asMethod>): ReturnType<typeof asMethod> {
    const requestDeserialize = (bytes: Buffer): unknown => {
      try {
        return method.requestDeserialize(bytes);
      } catch (error) {
        return new Undecodable(error);
      }
    };
    const responseSerialize = (reply: unknown): Buffer => {
      try {
        return method.responseSerialize(reply);
      } catch (error) {
        this.#log.error({ err: error, method: method.path }, 'a reply cannot be encoded');
        throw new Error('see the log of the service');
      }
    };
    return { ...method, requestDeserialize, responseSerialize };
  }

  /** Where the server listens, once it has started. */
  get address(): HostPort {
    if (!this.#address) throw new Error('The server has not started, so it has no address.');
    return this.#address;
  }

  /** @throws Error when the address is taken or the TLS files are bad */
  async start(): Promise<void> {
    const { bind, tls, tlsReloadMs } = this.#options;
    const files = new CertificateFiles(tls, tlsReloadMs);
    watchExpiry(files);
    const credentials = experimental.createCertificateProviderServerCredentials(files, files, true);
    reflectionService(this.#services).addToServer(this.#server);
    const port = await new Promise<number>((resolve, reject) => {
      this.#server.bindAsync(formatHostPort(bind), credentials, (error, bound) => {
        if (error) reject(new Error(`Cannot listen on ${formatHostPort(bind)}: ${error.message}`, { cause: error }));
        else resolve(bound);
      });
    });
    this.#address = { host: bind.host, port };
    this.setServing(true);
    this.#log.info({ address: formatHostPort(this.#address), services: this.#services }, 'gRPC server started');
  }

  /** Tells by grpc.health.v1 whether this process wants calls, such as `false` while its database is away. */
  setServing(isServing: boolean): void {
    for (const service of ['', ...this.#services]) this.#health.set(service, isServing);
  }

  /** NOT_SERVING at once; streams end, other calls may finish within the limit; then all connections are closed. */
  async stop(): Promise<void> {
    this.setServing(false);
    this.#calls.endStreams();
    this.#health.endWatches();
    const drained = new Promise<void>((resolve) => this.#server.tryShutdown(() => resolve()));
    if (await isWithin(drained, this.#options.drainMs ?? DEFAULT_DRAIN_MS)) return;
    this.#log.warn('calls did not end in time, they are abandoned');
    this.#calls.abandon();
    if (await isWithin(drained, ABANDON_MS)) return;
    this.#server.forceShutdown();
  }
}

/** Shows how long our certificate, and the authority's, are still good for: one of the few things that fail on a date. */
function watchExpiry(files: CertificateFiles): void {
  meter()
    .createObservableGauge(METRIC.CERTIFICATE_REMAINING, {
      unit: 's',
      description: 'Time until a certificate runs out',
    })
    .addCallback((result) => {
      const { own, authority } = files.expiry;
      const remaining = (end: Date): number => (end.getTime() - Date.now()) / 1000;
      result.observe(remaining(own), { [ATTR.CERTIFICATE_KIND]: 'service' });
      result.observe(remaining(authority), { [ATTR.CERTIFICATE_KIND]: 'authority' });
    });
}

/** Whether the work ends within the time. */
async function isWithin(work: Promise<void>, ms: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), ms);
  });
  const isDone = await Promise.race([work.then(() => true), late]);
  clearTimeout(timer);
  return isDone;
}
