import { isSpanContextValid, trace } from '@opentelemetry/api';
import { type Logger, pino } from 'pino';
import { follow } from './log-level.ts';

export type { Logger } from 'pino';

/** Names of fields that are never written, at the top and one or two levels down. A second net: never log a secret. */
const SECRET_FIELDS = [
  'password',
  'passphrase',
  'secret',
  'token',
  'privateKey',
  'private_key',
  'key',
  'keyPem',
  'authorization',
  'databaseUrl',
  'heartbeatKey',
];

const REDACTED_PATHS = SECRET_FIELDS.flatMap((field) => [field, `*.${field}`, `*.*.${field}`]);

function traceFields(): object {
  const span = trace.getActiveSpan()?.spanContext();
  return span && isSpanContextValid(span) ? { trace_id: span.traceId, span_id: span.spanId } : {};
}

/**
 * A logger that writes JSON lines to standard output, with the trace and span that are active. Messages are
 * constants and values are fields, named as in `ATTR`. The level is that of LOG_LEVEL, else `info`, until `setLogLevel` changes it.
 */
export function logger(name: string): Logger {
  const made = pino({
    name,
    base: { pid: process.pid },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    mixin: traceFields,
    redact: { paths: REDACTED_PATHS, censor: '[secret]' },
  });
  return follow(made);
}
