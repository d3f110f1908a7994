/** How a process of ours lives: settings, logs, gRPC, telemetry, start and end. */

export { ClientNotAllowed } from './grpc/admission.ts';
export { CALLER_KEYS, callerMetadata, callerOf } from './grpc/caller.ts';
export {
  type CallOptions,
  DEFAULT_DEADLINE_MS,
  type RpcClient,
  type RpcClientOptions,
  rpcClient,
} from './grpc/client.ts';
export type { Definition, Handlers } from './grpc/definition.ts';
export { type CallContext, type StreamContext, serverStream, unary } from './grpc/handlers.ts';
export { changeLogLevel, ProcessIdentity, processHandlers } from './grpc/process-service.ts';
export { CallEnded, ServiceStopping } from './grpc/serve.ts';
export { GrpcServer, type GrpcServerOptions } from './grpc/server.ts';
export { grpcClientSettings, grpcServerSettings } from './grpc/settings.ts';
export { ERROR_DOMAIN, fromStatus, RemoteError, RemoteFault, toStatus } from './grpc/status.ts';
export { CertificateFiles, type TlsFiles } from './grpc/tls-files.ts';
export { LOG_LEVELS, type LogLevel, type LogLevelState, logLevel, setLogLevel } from './process/log-level.ts';
export { type Logger, logger } from './process/logger.ts';
export { Loop, type LoopOptions } from './process/loop.ts';
export { PARENT_FD_VARIABLE } from './process/parent-pipe.ts';
export { exitWithError, type Part, type RunOptions, runUntilSignal } from './process/run.ts';
export { runAs } from './process/run-as.ts';
export { processSettings } from './process/settings.ts';
export { VERSION } from './process/version.ts';
export { BadValue, type Field, type FieldOptions, MissingValue, makeField, type Variables } from './settings/field.ts';
export {
  duration,
  flag,
  formatHostPort,
  type HostPort,
  hostPort,
  hostPorts,
  integer,
  list,
  oneOf,
  parseDuration,
  parseHostPort,
  text,
} from './settings/fields.ts';
export { file, folder, secretFile } from './settings/files.ts';
export {
  CONFIG_FILE_VARIABLE,
  CONFIGURATION_EXIT_CODE,
  type Config,
  type Contradiction,
  describe,
  effectiveSettings,
  type OptionDescription,
  type SettingFault,
  SettingsError,
  type SettingsReader,
  type Shape,
  settings,
} from './settings/settings.ts';
export { flushTelemetry } from './telemetry/flush.ts';
export { ATTR, METRIC } from './telemetry/names.ts';
export { telemetrySettings } from './telemetry/settings.ts';
export {
  contextFrom,
  currentTraceContext,
  currentTraceId,
  errorType,
  meter,
  recordFailure,
  type SpanSettings,
  tracer,
  withSpan,
} from './telemetry/spans.ts';
