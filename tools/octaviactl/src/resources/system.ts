/** What `status`, `capability list` and `log level` do. */
import { Breaker, type LogLevel, type SystemStatus, SystemServiceService as service } from '@octavia/proto';
import { isUnavailable } from '../connection/connection.ts';
import { CliError } from '../errors.ts';
import type { Action } from '../grammar.ts';
import type { View } from '../output/format.ts';
import { BREAKER_COLUMNS, breakerView, listsOf, printSystem, summaryOf } from '../output/system.ts';
import type { Session } from '../session.ts';
import { type EnumPrefix, toWord } from '../words.ts';
import { timeView } from './resource.ts';

/** How often `status --wait` asks, in milliseconds. */
const ASK_EVERY_MS = 300;

interface StatusOptions {
  readonly wait?: true;
  /** Milliseconds. */
  readonly timeout: number;
}

export const status: Action<StatusOptions> = async (session, _args, options) => {
  const found = options.wait
    ? await waitUntilReady(session, options.timeout)
    : await session.call(service.getSystemStatus, {});
  await print(session, found);
  if (found.ready) return;
  throw new CliError(`The controller is not ready: ${missing(found)}.`, {
    reason: 'NOT_READY',
    hint: options.wait
      ? 'Look into its log, or wait longer with --timeout.'
      : 'Wait for it with: octaviactl status --wait',
  });
};

/** Asks until all is ready, also while nothing answers yet. Gives the last answer when the time is up. */
async function waitUntilReady(session: Session, timeoutMs: number): Promise<SystemStatus> {
  const deadline = Date.now() + timeoutMs;
  let last = '';
  while (true) {
    const { answer, error } = await ask(session);
    if (answer?.ready) return answer;
    if (Date.now() >= deadline) {
      if (answer) return answer;
      throw error;
    }
    const text = answer ? missing(answer) : describe(error);
    if (text !== last) process.stderr.write(waitingLine(session, text));
    last = text;
    await new Promise((resolve) => setTimeout(resolve, ASK_EVERY_MS));
  }
}

/** One question. @throws what waiting does not heal */
async function ask(session: Session): Promise<{ answer?: SystemStatus; error?: unknown }> {
  try {
    return { answer: await session.call(service.getSystemStatus, {}) };
  } catch (error) {
    const maySettle = error instanceof CliError ? error.reason === 'CONNECTION_FILE_MISSING' : isUnavailable(error);
    if (!maySettle) throw error;
    return { error };
  }
}

function describe(error: unknown): string {
  return error instanceof CliError ? 'connection file' : 'api-gateway does not answer';
}

function waitingLine({ globals }: Session, text: string): string {
  return globals.format === 'json' ? `${JSON.stringify({ waiting_for: text })}\n` : `waiting for: ${text}\n`;
}

function missing({ services, database, sparesReady, sparesWanted }: SystemStatus): string {
  const parts = services.filter(({ state }) => state !== 'SERVING').map(({ name, state }) => `${name} is ${state}`);
  if (!database) parts.push('the database does not answer');
  if (sparesReady < sparesWanted) parts.push(`${sparesReady} of ${sparesWanted} spares`);
  return parts.join(', ') || 'it does not say what is missing';
}

async function print(session: Session, found: SystemStatus): Promise<void> {
  if (session.globals.format === 'table' && !session.globals.column) {
    await printSystem(found);
  } else {
    await session.printObject({ ...summaryOf(found), ...listsOf(found) });
  }
}

interface LevelOptions {
  /** Milliseconds. */
  readonly for?: number;
}

export const logLevel: Action<LevelOptions> = async (session, [name = '', level], options) => {
  if (level === undefined) {
    const { services } = await session.call(service.getSystemStatus, {});
    const found = services.find((candidate) => candidate.name === name);
    await session.printObject(levelView(name, found?.logLevel));
    return;
  }
  const revertAfter =
    options.for === undefined
      ? undefined
      : { seconds: BigInt(Math.floor(options.for / 1000)), nanos: (options.for % 1000) * 1_000_000 };
  const wanted = level === 'default' ? '' : level;
  const changed = await session.change(service.setLogLevel, { service: name, level: wanted, revertAfter });
  await session.printObject(levelView(name, changed));
};

function levelView(name: string, level: LogLevel | undefined): View {
  return { service: name, level: level?.level ?? null, reverts_at: timeView(level?.revertsAt) };
}

export const breakers: Action<{ readonly all?: true }> = async (session, _args, { all }) => {
  const found = await session.call(service.listBreakers, { includeClosed: all ?? false });
  await session.printList(found.breakers.map(breakerView), BREAKER_COLUMNS, Object.keys(breakerView(Breaker.create())));
};

export const capabilities: Action<object> = async (session) => {
  const found = await session.call(service.getCapabilities, {});
  const rows = [
    ...named('listener protocol', 'PROTOCOL', found.listenerProtocols),
    ...named('pool protocol', 'PROTOCOL', found.poolProtocols),
    ...named('lb_algorithm', 'LB_ALGORITHM', found.lbAlgorithms),
    ...named('health monitor type', 'HEALTH_MONITOR_TYPE', found.healthMonitorTypes),
    ...named('session persistence type', 'TYPE', found.sessionPersistenceTypes),
    ...named('topology', 'TOPOLOGY', found.topologies),
  ];
  await session.printList(rows, ['kind', 'name'], ['kind', 'name']);
};

function named(kind: string, prefix: EnumPrefix, values: readonly string[]): View[] {
  return values.map((value) => ({ kind, name: toWord(prefix, value) }));
}
