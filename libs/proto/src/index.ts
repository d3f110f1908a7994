/** The contract as code: messages and service definitions generated from `proto/`. */
export * from './descriptor.ts';
export * from './generated/google/protobuf/any.ts';
export * from './generated/google/rpc/error_details.ts';
export { Status as RpcStatus } from './generated/google/rpc/status.ts';
export * from './generated/octavia/internal/v1/health.ts';
export * from './generated/octavia/internal/v1/process.ts';
export * from './generated/octavia/internal/v1/worker.ts';
export * from './generated/octavia/v1/amphora.ts';
export * from './generated/octavia/v1/event.ts';
export * from './generated/octavia/v1/flow.ts';
export * from './generated/octavia/v1/health_monitor.ts';
export * from './generated/octavia/v1/listener.ts';
export * from './generated/octavia/v1/load_balancer.ts';
export * from './generated/octavia/v1/member.ts';
export * from './generated/octavia/v1/pool.ts';
export * from './generated/octavia/v1/statistics.ts';
export * from './generated/octavia/v1/status.ts';
export * from './generated/octavia/v1/system.ts';
