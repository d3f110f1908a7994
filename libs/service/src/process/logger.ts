import { isSpanContextValid, trace } from '@opentelemetry/api';
import { type Logger, pino } from 'pino';

export type { Logger } from 'pino';

/** Least severe level that is written, by `LOG_LEVEL`. */
export const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;

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

function levelFrom(word: string | undefined): string {
  return LOG_LEVELS.find((level) => level === word) ?? 'info';
}

/**
 * A logger that writes JSON lines to standard output, with the trace and span that are active. Messages are
 * constants and values are fields, named as in `ATTR`. The level is that of LOG_LEVEL, else `info`.
 */
export function logger(name: string): Logger {
  return pino({
    name,
    level: levelFrom(process.env.LOG_LEVEL),
    base: { pid: process.pid },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    mixin: traceFields,
    redact: { paths: REDACTED_PATHS, censor: '[secret]' },
  });
}
