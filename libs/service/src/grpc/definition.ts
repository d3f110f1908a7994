import type { handleServerStreamingCall, handleUnaryCall, MethodDefinition } from '@grpc/grpc-js';

/** A service as ts-proto generates it, such as `LoadBalancerServiceService`. */
export type Definition = Readonly<Record<string, MethodLike>>;

/** The part of a generated method that types are read from; parameters are `never` so that every message fits. */
export interface MethodLike {
  readonly path: string;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
  readonly requestSerialize: (value: never) => Buffer;
  readonly requestDeserialize: (bytes: Buffer) => unknown;
  readonly responseSerialize: (value: never) => Buffer;
  readonly responseDeserialize: (bytes: Buffer) => unknown;
}

export type RequestOf<M extends MethodLike> = ReturnType<M['requestDeserialize']>;
export type ReplyOf<M extends MethodLike> = ReturnType<M['responseDeserialize']>;

/** Handlers of a service, made by `unary` and `serverStream`. A missing one answers UNIMPLEMENTED. */
export type Handlers<D extends Definition> = {
  readonly [Name in keyof D]?: D[Name]['responseStream'] extends true
    ? handleServerStreamingCall<RequestOf<D[Name]>, ReplyOf<D[Name]>>
    : handleUnaryCall<RequestOf<D[Name]>, ReplyOf<D[Name]>>;
};

/** gRPC's own type of a method; the messages' types were checked where the handlers were given. */
export function asMethod(method: MethodLike): MethodDefinition<unknown, unknown> {
  return method as unknown as MethodDefinition<unknown, unknown>;
}

/** `octavia.v1.LoadBalancerService/CreateLoadBalancer` as service and method. */
export function splitPath(path: string): { full: string; service: string; method: string } {
  const full = path.replace(/^\//, '');
  const [service = '', method = ''] = full.split('/');
  return { full, service, method };
}
