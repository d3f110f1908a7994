import type { Logger } from 'pino';

/** Least severe level that is written, by `LOG_LEVEL`. */
export const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** How much this process writes. */
export interface LogLevelState {
  readonly level: LogLevel;
  /** When it goes back to what the process started with; null: never. */
  readonly revertsAt: Date | null;
}

const loggers = new Set<Logger>();
const startLevel = LOG_LEVELS.find((level) => level === process.env.LOG_LEVEL) ?? 'info';
let state: LogLevelState = { level: startLevel, revertsAt: null };
let revert: NodeJS.Timeout | undefined;

/** Makes a logger follow the level of the process. Loggers live as long as it does; their children keep the level they got. */
export function follow(logger: Logger): Logger {
  logger.level = state.level;
  loggers.add(logger);
  return logger;
}

export function logLevel(): LogLevelState {
  return state;
}

/**
 * Changes what every logger of this process writes, until it ends, is changed again, or `revertAfterMs` are over.
 * @param level null: what the process started with
 */
export function setLogLevel(level: LogLevel | null, revertAfterMs: number | null = null): LogLevelState {
  clearTimeout(revert);
  const isTemporary = level !== null && revertAfterMs !== null;
  state = { level: level ?? startLevel, revertsAt: isTemporary ? new Date(Date.now() + revertAfterMs) : null };
  for (const logger of loggers) logger.level = state.level;
  if (isTemporary) revert = setTimeout(() => setLogLevel(null), revertAfterMs).unref();
  return state;
}
