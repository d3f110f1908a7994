import { effectiveSettings, SettingsError, type Shape } from '../settings/settings.ts';
import { flushTelemetry } from '../telemetry/flush.ts';
import { telemetrySettings } from '../telemetry/settings.ts';
import { type Logger, logger } from './logger.ts';
import { watchParent } from './parent-pipe.ts';

/** Something that a process opens at its start and closes at its end. */
export interface Part {
  /** For the log. */
  readonly name: string;
  start(): Promise<void>;
  /** Called once, and only after `start` has succeeded. */
  stop(): Promise<void>;
}

export interface RunOptions {
  /** How long one part may take to start, in milliseconds. Default 60 s: a database may be recovering. */
  startMs?: number;
  /** How long one part may take to stop, in milliseconds. Default 15 s. */
  stopMs?: number;
  /** The reader of the settings: what is in effect is logged at level debug, without secrets. */
  settings?: { readonly shape: Shape };
  log?: Logger;
}

const DEFAULT_START_MS = 60_000;
const DEFAULT_STOP_MS = 15_000;

/** After a fault that nobody caught the state is unknown: parts get this long in all, in milliseconds. */
const CRASH_DRAIN_MS = 2_000;

/** When everything has stopped, what still holds the process open gets this long, in milliseconds. */
const LINGER_MS = 1_000;

const SIGNALS = ['SIGTERM', 'SIGINT'] as const;

/** Exit code of a process that ended by a signal: 128 and its number, as shells count. */
const SIGNAL_EXIT = { SIGTERM: 143, SIGINT: 130 } as const;

/** A part did not start or stop in time. */
class TooSlow extends Error {
  constructor(part: string, verb: 'start' | 'stop', ms: number) {
    super(`${part} did not ${verb} within ${ms} ms`);
    this.name = 'TooSlow';
  }
}

/**
 * Runs a process: starts the parts left to right, waits for SIGTERM, SIGINT or the end of the launcher, then stops
 * them right to left, each within a time limit. A second signal ends the process at once. A fault that nobody
 * caught is logged with its stack and ends the process with code 1 after a short drain.
 * @throws what a part threw in `start`, or TooSlow, after the parts that had started are stopped
 */
export async function runUntilSignal(parts: readonly Part[], options: RunOptions = {}): Promise<void> {
  const log = options.log ?? logger('process');
  const run = new Run(log, options.stopMs ?? DEFAULT_STOP_MS);
  if (options.settings) {
    const shape = { ...options.settings.shape, ...telemetrySettings };
    log.debug({ settings: effectiveSettings(shape, process.env) }, 'settings in effect');
  }
  const unwatch = run.watch();
  try {
    await run.start(parts, options.startMs ?? DEFAULT_START_MS);
    if (!run.isEnding) log.info({ parts: parts.map((part) => part.name) }, 'started');
    await run.ended;
  } finally {
    await run.stop();
    unwatch();
    await flushTelemetry();
  }
  log.info('stopped');
  leaveSoon(log);
}

class Run {
  readonly #log: Logger;
  readonly #stopMs: number;
  readonly #started: Part[] = [];
  readonly #ending = Promise.withResolvers<void>();
  isEnding = false;

  constructor(log: Logger, stopMs: number) {
    this.#log = log;
    this.#stopMs = stopMs;
  }

  get ended(): Promise<void> {
    return this.#ending.promise;
  }

  async start(parts: readonly Part[], startMs: number): Promise<void> {
    for (const part of parts) {
      if (this.isEnding) return;
      const starting = part.start();
      const late = (ms: number) => () => new TooSlow(part.name, 'start', ms);
      // Who is asked to end while he starts has no more time for it than for a stop.
      const hurried = this.ended.then(() => within(starting, this.#stopMs, late(this.#stopMs)));
      try {
        await Promise.race([within(starting, startMs, late(startMs)), hurried]);
      } catch (error) {
        this.#log.error({ part: part.name, err: error }, 'part failed to start');
        throw error;
      }
      this.#started.push(part);
    }
  }

  /** Stops what has started, newest first. A part that fails or is slow does not keep the others from stopping. */
  async stop(): Promise<void> {
    for (let part = this.#started.pop(); part; part = this.#started.pop()) {
      const { name } = part;
      try {
        await within(part.stop(), this.#stopMs, () => new TooSlow(name, 'stop', this.#stopMs));
      } catch (error) {
        this.#log.error({ part: name, err: error }, 'part failed to stop');
      }
    }
  }

  #end(why: string): void {
    if (this.isEnding) return;
    this.isEnding = true;
    this.#log.info({ why }, 'stopping');
    this.#ending.resolve();
  }

  async #crash(error: unknown, origin: string): Promise<void> {
    this.#log.fatal({ err: error, origin }, 'a fault that nobody caught ends this process');
    setTimeout(() => process.exit(1), CRASH_DRAIN_MS);
    await this.stop();
    await flushTelemetry();
    process.exit(1);
  }

  /** Listens for everything that ends a process. */
  watch(): () => void {
    const onSignal = (signal: (typeof SIGNALS)[number]): void => {
      if (this.isEnding) {
        this.#log.warn({ signal }, 'second signal, ending at once');
        process.exit(SIGNAL_EXIT[signal]);
      }
      this.#end(signal);
    };
    const onException = (error: unknown, origin: string): void => {
      this.#crash(error, origin).catch(() => process.exit(1));
    };
    for (const signal of SIGNALS) process.on(signal, onSignal);
    // Node raises unhandled rejections here too, with their origin.
    process.on('uncaughtException', onException);
    const unwatchParent = watchParent(process.env, () => this.#end('the launcher has ended'));
    return () => {
      for (const signal of SIGNALS) process.off(signal, onSignal);
      process.off('uncaughtException', onException);
      unwatchParent();
    };
  }
}

async function within<T>(work: Promise<T>, ms: number, late: () => Error): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(late()), ms);
  });
  try {
    return await Promise.race([work, timeout]);
  } finally {
    clearTimeout(timer);
  }
}

/** A forgotten handle must not keep the process: the timer fires only if something still holds it open. */
function leaveSoon(log: Logger): void {
  setTimeout(() => {
    log.warn({ resources: process.getActiveResourcesInfo() }, 'something still holds the process open, leaving');
    process.exit();
  }, LINGER_MS).unref();
}

/** For `main().catch(exitWithError)`: says what went wrong and ends with 78 for wrong settings, else with 1. */
export function exitWithError(error: unknown): never {
  const log = logger('process');
  if (error instanceof SettingsError) {
    log.fatal({ faults: error.faults }, error.message);
    process.exit(error.exitCode);
  }
  log.fatal({ err: error }, 'this process cannot go on');
  process.exit(1);
}
