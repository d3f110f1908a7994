import { once } from 'node:events';
import {
  type handleServerStreamingCall,
  type handleUnaryCall,
  type Metadata,
  type ServerUnaryCall,
  type ServerWritableStream,
  type StatusObject,
  status,
} from '@grpc/grpc-js';
import { type Caller, DomainError, InvalidRequest, Unavailable } from '@octavia/domain';
import { context, propagation, ROOT_CONTEXT, SpanKind, trace } from '@opentelemetry/api';
import type { Logger } from '../process/logger.ts';
import { ATTR } from '../telemetry/names.ts';
import { recordFailure, tracer } from '../telemetry/spans.ts';
import { clientName } from './admission.ts';
import { callerOf } from './caller.ts';
import { splitPath } from './definition.ts';
import type { Body, CallContext } from './handlers.ts';
import { toStatus } from './status.ts';

type Answer = (failure: StatusObject | null, reply?: unknown) => void;
type AnyCall = ServerUnaryCall<unknown, unknown> | ServerWritableStream<unknown, unknown>;

/** Codes by which the fault is ours or of what we depend on: a person may want to know. */
const WARNED = new Set([status.UNAVAILABLE, status.INTERNAL, status.UNKNOWN, status.DATA_LOSS]);

/** The client has gone, or its deadline has passed: nobody waits for the answer. */
export class CallEnded extends DomainError {
  readonly kind = 'unavailable';
  readonly reason: string;
  readonly code: status;
  constructor(reason: 'CALL_CANCELLED' | 'DEADLINE_EXCEEDED') {
    super('The client waits no longer for the answer.');
    this.reason = reason;
    this.code = reason === 'DEADLINE_EXCEEDED' ? status.DEADLINE_EXCEEDED : status.CANCELLED;
  }
}

/** Longest part of a decoder's words that the caller is told, in characters. */
const MAX_DECODER_TEXT = 200;

/** What stands in for a request whose bytes are not the contract's: a number that an enum does not have, or no protobuf at all. */
export class Undecodable {
  readonly #cause: unknown;
  constructor(cause: unknown) {
    this.#cause = cause;
  }

  toError(): InvalidRequest {
    const text = this.#cause instanceof Error ? this.#cause.message : String(this.#cause);
    const number = /Unrecognized enum value (-?\d+) for enum (\w+)/i.exec(text);
    const description = number
      ? `has the number ${number[1]} for ${number[2]}, which this version of the contract does not have`
      : `cannot be decoded by this version of the contract: ${text.slice(0, MAX_DECODER_TEXT)}`;
    return new InvalidRequest([
      { field: 'request', description, reason: number ? 'UNKNOWN_ENUM_VALUE' : 'UNDECODABLE' },
    ]);
  }
}

/** This process is on its way out; another one takes the call. */
export class ServiceStopping extends Unavailable {
  constructor() {
    super('SERVICE_STOPPING', 'This service is stopping. Call again.', {}, 200);
  }
}

const getter = {
  keys: (metadata: Metadata) => Object.keys(metadata.getMap()),
  get: (metadata: Metadata, key: string) => metadata.get(key).map(String),
};

/** Runs bodies of handlers: everything that they throw ends up in a status, and nowhere else. */
export class CallRunner {
  readonly #log: Logger;
  readonly #nameError: (error: unknown) => unknown;
  readonly #streams = new Set<AbortController>();
  /** Calls without an answer yet, as functions that answer them at once. */
  readonly #unanswered = new Set<() => void>();
  #isStopping = false;

  constructor(log: Logger, nameError: (error: unknown) => unknown = (error) => error) {
    this.#log = log;
    this.#nameError = nameError;
  }

  /** Ends the streams, whose handlers see it by their signal; calls with one reply go on. */
  endStreams(): void {
    this.#isStopping = true;
    for (const controller of this.#streams) controller.abort(new ServiceStopping());
  }

  /** Answers every call whose handler has not, and tells the handler by its signal. */
  abandon(): void {
    for (const giveUp of this.#unanswered) giveUp();
  }

  unary(body: Body & { kind: 'unary' }): handleUnaryCall<unknown, unknown> {
    return (call, callback) => {
      const controller = abortOnEnd(call);
      const answer = this.#answerOnce(controller, callback);
      this.#run(call, controller.signal, (context) => body.run(decoded(call.request), context)).then(
        (reply) => answer(null, reply),
        (error: unknown) => answer(toStatusOf(error)),
      );
    };
  }

  serverStream(body: Body & { kind: 'serverStream' }): handleServerStreamingCall<unknown, unknown> {
    return (call) => {
      const controller = abortOnEnd(call);
      const answer = this.#answerOnce(controller, (failure) => {
        this.#streams.delete(controller);
        // gRPC takes the status of a stream from this event; `destroy` would lose it.
        if (failure) call.emit('error', Object.assign(new Error('call failed'), failure));
        else call.end();
      });
      this.#streams.add(controller);
      if (this.#isStopping) controller.abort(new ServiceStopping());
      const send = (reply: unknown) => sendOne(call, reply, controller.signal);
      this.#run(call, controller.signal, async (context) => {
        await body.run(decoded(call.request), { ...context, send });
        // A handler may just return when it is told to stop: the client still learns why.
        if (controller.signal.reason instanceof ServiceStopping) throw controller.signal.reason;
      }).then(
        () => answer(null),
        (error: unknown) => answer(toStatusOf(error)),
      );
    };
  }

  #answerOnce(controller: AbortController, answer: Answer): Answer {
    let isAnswered = false;
    const once: Answer = (failure, reply) => {
      if (isAnswered) return;
      isAnswered = true;
      this.#unanswered.delete(giveUp);
      answer(failure, reply);
    };
    const giveUp = (): void => {
      const stopping = new ServiceStopping();
      controller.abort(stopping);
      once(toStatus(stopping));
    };
    this.#unanswered.add(giveUp);
    return once;
  }

  async #run<T>(call: AnyCall, signal: AbortSignal, body: (context: CallContext) => Promise<T> | T): Promise<T> {
    const { full, service } = splitPath(call.getPath());
    const attributes = { [ATTR.RPC_SYSTEM]: 'grpc', [ATTR.RPC_SERVICE]: service, [ATTR.RPC_METHOD]: full };
    const parent = propagation.extract(ROOT_CONTEXT, call.metadata, getter);
    const span = tracer().startSpan(full, { kind: SpanKind.SERVER, attributes }, parent);
    return await context.with(trace.setSpan(parent, span), async () => {
      const startedAt = performance.now();
      let caller: Caller | undefined;
      try {
        caller = callerOf(clientName(call), call.metadata);
        span.setAttributes({ [ATTR.REQUEST_ID]: caller.requestId, [ATTR.CLIENT]: caller.client });
        if (caller.projectId) span.setAttribute(ATTR.PROJECT_ID, caller.projectId);
        signal.throwIfAborted();
        const remainingMs = Number(call.getDeadline()) - Date.now();
        const reply = await body({ caller, signal, remainingMs, metadata: call.metadata });
        span.setAttribute(ATTR.RPC_STATUS, 'OK');
        this.#log.debug(fields(full, startedAt, caller), 'call ended');
        return reply;
      } catch (thrown) {
        const error = this.#nameError(thrown);
        const sent = toStatus(error);
        // Who left gets no status of ours; what gRPC tells him, and the metrics count, is this.
        const code = error instanceof CallEnded ? error.code : sent.code;
        span.setAttribute(ATTR.RPC_STATUS, status[code]);
        recordFailure(span, error);
        this.#logFailure(error, sent.code, fields(full, startedAt, caller));
        // Made here, where the span is active: an unknown error quotes its trace.
        throw new Answered(sent);
      } finally {
        span.end();
      }
    });
  }

  /** The one place where a failed call is logged. Who left by himself is not a failure of ours. */
  #logFailure(error: unknown, code: status, fields: object): void {
    if (!(error instanceof DomainError)) {
      this.#log.error({ ...fields, [ATTR.RPC_STATUS]: status[code], err: error }, 'call failed by a bug');
      return;
    }
    const described = {
      ...fields,
      [ATTR.RPC_STATUS]: status[code],
      [ATTR.REASON]: error.reason,
      detail: error.message,
    };
    if (error instanceof CallEnded || error instanceof ServiceStopping) this.#log.debug(described, 'call abandoned');
    else if (WARNED.has(code)) this.#log.warn(described, 'call failed');
    else this.#log.info(described, 'call refused');
  }
}

/** @throws InvalidRequest */
function decoded(request: unknown): unknown {
  if (request instanceof Undecodable) throw request.toError();
  return request;
}

/** A failure that has become a status and is logged already. */
class Answered extends Error {
  readonly sent: StatusObject;
  constructor(sent: StatusObject) {
    super(sent.details);
    this.sent = sent;
  }
}

function toStatusOf(error: unknown): StatusObject {
  return error instanceof Answered ? error.sent : toStatus(error);
}

function fields(method: string, startedAt: number, caller: Caller | undefined): object {
  return {
    [ATTR.RPC_METHOD]: method,
    [ATTR.REQUEST_ID]: caller?.requestId,
    [ATTR.CLIENT]: caller?.client,
    [ATTR.PROJECT_ID]: caller?.projectId || undefined,
    durationMs: Math.round((performance.now() - startedAt) * 10) / 10,
  };
}

function abortOnEnd(call: AnyCall): AbortController {
  const controller = new AbortController();
  const isLate = () => Number(call.getDeadline()) <= Date.now();
  const end = () => controller.abort(new CallEnded(isLate() ? 'DEADLINE_EXCEEDED' : 'CALL_CANCELLED'));
  call.on('cancelled', end);
  // A stream emits `error` when its client breaks off; unheard it would end the process.
  call.on('error', end);
  if (call.cancelled) end();
  return controller;
}

async function sendOne(
  call: ServerWritableStream<unknown, unknown>,
  reply: unknown,
  signal: AbortSignal,
): Promise<void> {
  signal.throwIfAborted();
  if (call.write(reply)) return;
  await once(call, 'drain', { signal }).catch(() => signal.throwIfAborted());
}
