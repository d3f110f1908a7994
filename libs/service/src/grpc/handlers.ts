import type { handleServerStreamingCall, handleUnaryCall, Metadata } from '@grpc/grpc-js';
import type { Caller } from '@octavia/domain';

/** What a handler knows of its call, besides the request. */
export interface CallContext {
  readonly caller: Caller;
  /** Aborts when the client has gone, the deadline has passed, or (streams only) the service stops. */
  readonly signal: AbortSignal;
  /** Milliseconds that were left when the handler started; Infinity when the client set no deadline. */
  readonly remainingMs: number;
  readonly metadata: Metadata;
}

export interface StreamContext<Reply> extends CallContext {
  /**
   * Sends one reply. Resolves when there is room for the next one: await it, or a slow client fills the memory.
   * @throws the signal's reason when the call has ended
   */
  send(reply: Reply): Promise<void>;
}

type UnaryFunction<Request, Reply> = (request: Request, context: CallContext) => Promise<Reply> | Reply;
type StreamFunction<Request, Reply> = (request: Request, context: StreamContext<Reply>) => Promise<void> | void;

/** The function of ours behind a handler: `GrpcServer` runs it, so that it may throw anything at any time. */
export type Body =
  | { readonly kind: 'unary'; readonly run: UnaryFunction<unknown, unknown> }
  | { readonly kind: 'serverStream'; readonly run: StreamFunction<unknown, unknown> };

const bodies = new WeakMap<object, Body>();

/** The body that `unary` or `serverStream` wrapped; undefined for a bare handler, which could end the process. */
export function bodyOf(handler: unknown): Body | undefined {
  return typeof handler === 'function' ? bodies.get(handler) : undefined;
}

function onlyInServer(): never {
  throw new Error('Handlers made by unary() and serverStream() run in a GrpcServer only.');
}

/**
 * A handler that takes one request and gives one reply. It only throws: the server turns errors into statuses.
 * Before it replies the client may be gone; what it has done stays done.
 */
export function unary<Request, Reply>(run: UnaryFunction<Request, Reply>): handleUnaryCall<Request, Reply> {
  const handler: handleUnaryCall<Request, Reply> = () => onlyInServer();
  bodies.set(handler, { kind: 'unary', run: run as UnaryFunction<unknown, unknown> });
  return handler;
}

/** A handler that gives many replies by `send`, and ends the stream when it returns. */
export function serverStream<Request, Reply>(
  run: StreamFunction<Request, Reply>,
): handleServerStreamingCall<Request, Reply> {
  const handler: handleServerStreamingCall<Request, Reply> = () => onlyInServer();
  bodies.set(handler, { kind: 'serverStream', run: run as StreamFunction<unknown, unknown> });
  return handler;
}
