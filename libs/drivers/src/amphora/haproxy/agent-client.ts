import { X509Certificate } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { CallContext } from '../../call-context.ts';
import { AmphoraError, AmphoraUnavailable } from '../../errors.ts';
import { WatchedFiles } from '../../watched-files.ts';
import type { AmphoraEndpoint } from '../amphora-driver.ts';
import { type AgentAnswer, failureOf, isNotReady } from './answer.ts';
import { CallQueue } from './call-queue.ts';
import { inCallSpan, recordAnswer } from './call-span.ts';
import { Connections } from './connections.ts';
import { type HaproxyAmphoraOptions, type Limits, limitsOf } from './options.ts';
import { transportFailure } from './transport-error.ts';

export interface AgentCall {
  readonly method: 'GET' | 'PUT' | 'POST' | 'DELETE';
  /** Path with names in braces, such as `/1.0/loadbalancer/{lb}/haproxy`; spans have it, so it holds no id. */
  readonly template: string;
  readonly ids?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
  /** Sets what its failures mean: an upload may be refused by the check, a run by the system. Default: other. */
  readonly kind?: 'upload' | 'run' | 'other';
  /** Statuses of an agent's own errors that are answers here, such as 404. */
  readonly accepts?: readonly number[];
}

/** Octavia's REST client says this; agents do not read it. */
const USER_AGENT = 'octavia-controller (amphora API 1.0)';

/** Makes calls to agents: one at a time per amphora, tried again where that may help, and every failure named. */
export class AgentClient {
  readonly #limits: Limits;
  readonly #connections: Connections;
  readonly #queue: CallQueue;

  constructor(options: HaproxyAmphoraOptions) {
    this.#limits = limitsOf(options);
    const { clientCertFile, clientKeyFile = clientCertFile, serverCaFile } = options;
    this.#connections = new Connections(new WatchedFiles(clientCertFile, clientKeyFile, serverCaFile), this.#limits);
    this.#queue = new CallQueue(this.#limits.maxWaiting);
  }

  /**
   * The agent's answer: a success, or one that the call accepts.
   * @throws AmphoraUnavailable, AmphoraError, ConfigurationRefused, StaleFence; the signal's reason when it aborts
   */
  async call(amphora: AmphoraEndpoint, call: AgentCall, context: CallContext | undefined): Promise<AgentAnswer> {
    return await this.#queue.run(amphora.amphoraId, context?.signal, async () => {
      for (let attempt = 1; ; attempt++) {
        const isLast = attempt >= this.#limits.attempts;
        const answer = await this.#attempt(amphora, call, context, isLast);
        if (answer) return answer;
        await delay(this.#limits.retryIntervalMs, undefined, { signal: context?.signal }).catch((error: unknown) => {
          context?.signal?.throwIfAborted();
          throw error;
        });
      }
    });
  }

  /** Whether the agent shows this certificate. @throws AmphoraUnavailable; the signal's reason when it aborts */
  async shows(amphora: AmphoraEndpoint, pem: string, context: CallContext | undefined): Promise<boolean> {
    try {
      const shown = await this.#connections.certificateOf(amphora, context?.signal);
      return shown.equals(new X509Certificate(pem).raw);
    } catch (cause) {
      context?.signal?.throwIfAborted();
      throw transportFailure(cause, 'TLS handshake', amphora).error;
    }
  }

  close(): Promise<void> {
    return this.#connections.close();
  }

  /** One try. Null: another one may help. */
  async #attempt(amphora: AmphoraEndpoint, call: AgentCall, context: CallContext | undefined, isLast: boolean) {
    const what = `${call.method} ${call.template}`;
    return await inCallSpan(call.method, call.template, amphora, async (headers, span) => {
      let answer: AgentAnswer;
      try {
        answer = await this.#send(amphora, call, headers, context);
      } catch (cause) {
        context?.signal?.throwIfAborted();
        if (cause instanceof AmphoraUnavailable) throw cause;
        const { error, isTransient } = transportFailure(cause, what, amphora);
        if (isLast || !isTransient) throw error;
        span.setAttribute('error.type', error.details.code ?? error.reason);
        return null;
      }
      recordAnswer(span, answer);
      const isFine = answer.status >= 200 && answer.status < 300 && !isGarbage(answer);
      const failure = failureOf(answer, what, call.kind ?? 'other', amphora, context);
      const isAccepted =
        call.accepts?.includes(answer.status) && answer.json !== undefined && failure instanceof AmphoraError;
      if (isFine || isAccepted) return answer;
      if (!isLast && isNotReady(answer)) return null;
      throw failure;
    });
  }

  async #send(
    amphora: AmphoraEndpoint,
    { method, template, ids = {}, body }: AgentCall,
    headers: Record<string, string>,
    context: CallContext | undefined,
  ): Promise<AgentAnswer> {
    const client = await this.#material(amphora);
    const { connectTimeoutMs, readTimeoutMs } = this.#limits;
    // The client's own limits are about silence; this one ends an answer that only trickles.
    const signals = [
      AbortSignal.timeout(connectTimeoutMs + 2 * readTimeoutMs),
      ...(context?.signal ? [context.signal] : []),
    ];
    const response = await client.request({
      method,
      path: template.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(ids[name] ?? '')),
      body,
      headers: {
        ...headers,
        'user-agent': USER_AGENT,
        ...(template.startsWith('/1.0/plug') ? { 'content-type': 'application/json' } : {}),
        ...(context?.fence ? { 'x-octavia-fence': `${context.fence.flowId}:${context.fence.epoch}` } : {}),
      },
      signal: AbortSignal.any(signals),
    });
    const header = (name: string) => [response.headers[name] ?? ''].flat().join(', ');
    const text = await response.body.text();
    return {
      status: response.statusCode,
      contentType: header('content-type'),
      etag: header('etag').replace(/^W\//, '').replaceAll('"', '') || null,
      serverTiming: header('server-timing'),
      text,
      json: parseJson(header('content-type'), text),
    };
  }

  async #material(amphora: AmphoraEndpoint) {
    try {
      return await this.#connections.to(amphora);
    } catch (cause) {
      const why = (cause as Error).message;
      throw new AmphoraUnavailable(`Our own certificates for agents cannot be used: ${why}.`, { why }, { cause });
    }
  }
}

/** Everything that an agent says is JSON, but for the configurations that are downloaded as text. */
function isGarbage({ json, contentType }: AgentAnswer): boolean {
  return json === undefined && !contentType.startsWith('text/plain');
}

function parseJson(contentType: string, text: string): unknown {
  if (!contentType.startsWith('application/json')) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
