import { readFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { createSecureContext } from 'node:tls';
import type { Logger } from 'pino';
import type { AgentConfig } from '../config.ts';
import { AgentStartError, codeOf, FrameworkError, messageOf, RequestError } from '../errors.ts';
import type { FenceBook } from '../fence.ts';
import { ATTRIBUTE, type TraceSpan, type Tracing } from '../tracing.ts';
import { WorkQueue } from './queue.ts';
import type { Answer, Route, Router } from './router.ts';
import type { Step } from './step.ts';
import { watchFiles } from './watch-files.ts';

const MAX_CONNECTIONS = 64;
const HANDSHAKE_TIMEOUT_MS = 10_000;
const HEADERS_TIMEOUT_MS = 10_000;
const KEEP_ALIVE_MS = 15_000;
const MAX_HEADER_BYTES = 16 * 1024;

/** `<flow id>:<epoch>` of the worker that calls. */
const FENCE_HEADER = 'x-octavia-fence';

export interface ServerParts {
  readonly config: AgentConfig;
  readonly router: Router;
  readonly fences: FenceBook;
  readonly tracing: Promise<Tracing>;
  readonly log: Logger;
}

/** The agent's HTTPS server: client certificates required, one request at a time. */
export class AgentServer {
  readonly #parts: ServerParts;
  readonly #queue = new WorkQueue();
  readonly #server: Server;
  #isStopping = false;
  #unwatch = (): void => {};

  /** @throws AgentStartError when the certificate or the authority cannot be read */
  constructor(parts: ServerParts) {
    this.#parts = parts;
    const tls = tlsOptions(parts.config);
    this.#server = createServer({
      ...tls,
      requestCert: true,
      rejectUnauthorized: true,
      handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
      headersTimeout: HEADERS_TIMEOUT_MS,
      requestTimeout: parts.config.requestTimeoutMs,
      keepAliveTimeout: KEEP_ALIVE_MS,
      maxHeaderSize: MAX_HEADER_BYTES,
    });
    this.#server.maxConnections = MAX_CONNECTIONS;
    this.#server.on('request', (request, response) => void this.#answer(request, response));
    this.#server.on('error', (error) => parts.log.error({ reason: error.message }, 'the server met an error'));
    this.#server.on('tlsClientError', (error) => parts.log.debug({ reason: error.message }, 'tls handshake failed'));
  }

  /** Begins to listen; requests are answered once `ready` has ended. */
  async start(ready: () => Promise<void>): Promise<AddressInfo> {
    const { bindHost: host, bindPort: port } = this.#parts.config;
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', (error) => {
        reject(new AgentStartError(`The agent cannot listen on ${host} port ${port}: ${error.message}.`, 70));
      });
      this.#server.listen({ host, port }, resolve);
    });
    await this.#queue.run(ready);
    const { serverCertificateFile, clientCaFile } = this.#parts.config;
    this.#unwatch = watchFiles([serverCertificateFile, clientCaFile], () => this.#takeUp());
    return this.#server.address() as AddressInfo;
  }

  /** Uses the certificate file as it is now for every new connection. */
  reloadCertificate(): void {
    this.#server.setSecureContext(tlsOptions(this.#parts.config));
  }

  /** Files that somebody else wrote: the compute service, when the certificate has run out. What cannot be used changes nothing. */
  #takeUp(): void {
    const { log } = this.#parts;
    try {
      this.reloadCertificate();
      log.info('took up new certificate files');
    } catch (error) {
      log.warn({ reason: messageOf(error) }, 'new certificate files cannot be used; the old ones stay in use');
    }
  }

  /** Ends the request under way, refuses others, closes the connections. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    this.#unwatch();
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    await this.#queue.run(async () => {}).catch(() => undefined);
    this.#server.closeAllConnections();
    await closed;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const started = performance.now();
    const { method = '', url = '/', headers } = request;
    const path = url.split('?')[0] ?? '/';
    const timings: string[] = [];
    const tracing = await this.#parts.tracing;
    const span = tracing.begin(method, oneOf(headers.traceparent));
    span.set(ATTRIBUTE.method, method);
    span.set(ATTRIBUTE.path, path);
    span.set(ATTRIBUTE.scheme, 'https');
    let status = 0;
    try {
      const { route, params } = this.#parts.router.find(method, path);
      span.named(`${method} ${route.path}`);
      span.set(ATTRIBUTE.route, route.path);
      const body = await readBody(request, route.maxBodyBytes);
      const step = measuredStep(span, timings);
      const answer = await this.#queue.run(async () => {
        // Nobody waits for the answer any more, and the caller may since have given up its flow.
        if (request.socket.destroyed) return null;
        if (this.#isStopping) throw new RequestError(503, 'The agent is stopping');
        if (method !== 'GET') this.#admit(headers[FENCE_HEADER]);
        return route.handle({ params, body, step });
      });
      if (answer) status = send(response, answer, [...timings, total(started)]);
      span.set(ATTRIBUTE.status, status);
      span.end();
    } catch (error) {
      const refusal = toRefusal(error, path);
      if (refusal.status >= 500)
        this.#parts.log.error({ reason: refusal.details ?? refusal.message }, 'request failed');
      if (refusal instanceof Crash) this.#parts.log.error({ err: refusal.cause }, 'the agent has a fault');
      status = refuse(response, refusal, [...timings, total(started)]);
      span.set(ATTRIBUTE.status, status);
      span.end(refusal);
    } finally {
      const ms = Math.round(performance.now() - started);
      this.#parts.log.info({ trace_id: span.traceId ?? undefined, method, path, status, ms }, 'request');
    }
  }

  #admit(fence: string | string[] | undefined): void {
    const header = oneOf(fence);
    if (header !== undefined) this.#parts.fences.admit(header);
  }
}

/** Throws when certificate, key or authority cannot be used. */
export function checkServerCertificate(pem: string): void {
  createSecureContext({ cert: pem, key: pem });
}

function tlsOptions({ serverCertificateFile, clientCaFile }: AgentConfig) {
  try {
    const pem = readFileSync(serverCertificateFile);
    const options = { cert: pem, key: pem, ca: readFileSync(clientCaFile), minVersion: 'TLSv1.2' as const };
    createSecureContext(options);
    return options;
  } catch (error) {
    const files = `${serverCertificateFile}, ${clientCaFile}`;
    throw new AgentStartError(`The certificates (${files}) cannot be used: ${messageOf(error)}.`, 78, { cause: error });
  }
}

function measuredStep(span: TraceSpan, timings: string[]): Step {
  return async (timing, name, work) => {
    const started = performance.now();
    const child = span.child(name);
    try {
      const result = await work();
      child.end();
      return result;
    } catch (error) {
      child.end(error);
      throw error;
    } finally {
      timings.push(entry(timing, started));
    }
  };
}

/** One entry of a Server-Timing header, in milliseconds. */
function entry(name: string, started: number): string {
  return `${name};dur=${(performance.now() - started).toFixed(1)}`;
}

function total(started: number): string {
  return entry('total', started);
}

function readBody(request: IncomingMessage, maxBytes: Route['maxBodyBytes']): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    request.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes <= maxBytes) chunks.push(chunk);
      // 400, not 413: the controller takes every status that it does not know for success.
      else reject(new RequestError(400, 'Invalid request', `The body has more than ${maxBytes} bytes`));
      if (bytes > maxBytes) request.pause();
    });
    request.on('end', () => resolve(Buffer.concat(chunks)));
    request.on('close', () => reject(new RequestError(400, 'Invalid request', 'The body ended half-way')));
  });
}

function send(response: ServerResponse, { status, body, etag }: Answer, timings: readonly string[]): number {
  const isText = typeof body === 'string' || Buffer.isBuffer(body);
  const content = isText ? Buffer.from(body) : Buffer.from(JSON.stringify(body));
  response.writeHead(status, {
    'Content-Type': isText ? 'text/plain; charset=UTF-8' : 'application/json',
    'Content-Length': content.length,
    'Server-Timing': timings.join(', '),
    ...(etag === undefined ? {} : { ETag: etag }),
  });
  response.end(content);
  return status;
}

function refuse(response: ServerResponse, refusal: RequestError, timings: readonly string[]): number {
  if (response.headersSent || response.destroyed) return refusal.status;
  const content = Buffer.from(JSON.stringify(refusal.body));
  response.writeHead(refusal.status, {
    'Content-Type': 'application/json',
    'Content-Length': content.length,
    'Server-Timing': timings.join(', '),
    // The rest of the body may not have been read.
    Connection: 'close',
  });
  response.end(content);
  return refusal.status;
}

/** A fault of ours, in the shape of a web framework's. */
class Crash extends FrameworkError {
  constructor(error: unknown) {
    super(500, 'The agent met a fault of its own. Its log in the data folder has the details.');
    this.cause = error;
  }
}

function toRefusal(error: unknown, path: string): RequestError {
  if (error instanceof RequestError) return error;
  const code = codeOf(error);
  const isSystemError = error instanceof Error && 'syscall' in error && code !== '';
  if (!isSystemError) return new Crash(error);
  const advice = code === 'ENOSPC' || code === 'EDQUOT' ? 'The disk of the amphora is full. ' : '';
  const details = `${advice}${error.message}. What was there before is unchanged (${path})`;
  return new RequestError(500, 'Error writing a file', details, { cause: error });
}

function oneOf(header: string | string[] | undefined): string | undefined {
  return Array.isArray(header) ? header[0] : header;
}
