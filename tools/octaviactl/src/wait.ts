/** Waits until a change is in place: by the watch of the load balancer, and by asking when that is silent. */
import type { ClientReadableStream } from '@grpc/grpc-js';
import { type LoadBalancer, LoadBalancerServiceService } from '@octavia/proto';
import { isNotFound, isUnavailable } from './connection/connection.ts';
import { CliError } from './errors.ts';
import type { WaitOptions } from './options.ts';
import { describeProgress, openProgress } from './progress.ts';
import type { Resource, Settling } from './resources/resource.ts';
import type { Session } from './session.ts';
import { toWord } from './words.ts';

/** How long to wait for news before asking, in milliseconds. */
const SILENCE_MS = 1000;
/** Pause before a broken watch is opened again, in milliseconds. */
const REOPEN_MS = 250;

/** What `waitFor` waits for. */
export type Goal = 'in place' | 'gone';

/**
 * Waits until the change to `start` has settled, and returns the newest state (undefined: gone).
 * @throws CliError with the reason when it ends in ERROR, WAIT_TIMED_OUT when it takes too long
 */
export async function waitFor<T extends Settling>(
  session: Session,
  resource: Resource<T>,
  start: T,
  goal: Goal,
  { waitTimeout }: Pick<WaitOptions, 'waitTimeout'>,
): Promise<T | undefined> {
  const deadline = Date.now() + waitTimeout;
  const label = `${resource.noun} ${start.name || start.id}`;
  const news = new News(session, resource.loadBalancerId(start));
  const progress = openProgress(session.globals.format);
  let state: T | undefined = start;
  let isAway = false;
  try {
    while (true) {
      if (state && !isAway) progress.show(label, state);
      const settled = state === undefined || verdict(state, goal, label, session.requestId);
      if (settled) {
        if (state === undefined && goal === 'in place') throw vanished(label);
        return state;
      }
      const remaining = deadline - Date.now();
      if (remaining <= 0) throw timedOut(label, state ?? start, waitTimeout, session.requestId);
      await news.wait(Math.min(SILENCE_MS, remaining));
      isAway = false;
      state = await newest(session, resource, state ?? start, () => {
        // Nothing else is told before it answers again.
        isAway = true;
        progress.note(label, 'the controller does not answer; asking again');
      });
    }
  } finally {
    progress.end();
    news.close();
  }
}

async function newest<T extends Settling>(
  session: Session,
  resource: Resource<T>,
  last: T,
  away: () => void,
): Promise<T | undefined> {
  try {
    return await resource.get(session, last.id);
  } catch (error) {
    if (isNotFound(error)) return undefined;
    if (!isUnavailable(error)) throw error;
    away();
    return last;
  }
}

/** Whether it has settled as wished. @throws CliError when it has settled otherwise */
function verdict(state: Settling, goal: Goal, label: string, requestId: string): boolean {
  const word = toWord('PROVISIONING_STATUS', state.provisioningStatus);
  if (word === 'DELETED') {
    if (goal === 'gone') return true;
    throw vanished(label);
  }
  if (word === 'ACTIVE' && goal === 'in place') return true;
  if (word === 'ACTIVE') {
    throw new CliError(`The ${label} is ACTIVE again: it was not deleted.`, { reason: 'NOT_DELETED' });
  }
  if (word !== 'ERROR') return false;
  const detail = state.statusDetail;
  throw new CliError(`The ${label} ended in ERROR: ${detail?.message || 'the controller gives no message'}`, {
    reason: detail?.reason || 'ERROR',
    hint: detail?.traceId ? `Trace id: ${detail.traceId}` : undefined,
    details: { id: state.id, trace_id: detail?.traceId ?? '', request_id: requestId },
  });
}

function vanished(label: string): CliError {
  return new CliError(`The ${label} was deleted meanwhile.`, { reason: 'DELETED_MEANWHILE' });
}

function timedOut(label: string, state: Settling, waitTimeout: number, requestId: string): CliError {
  return new CliError(`The ${label} is still ${describeProgress(state)} after ${waitTimeout / 1000} s.`, {
    reason: 'WAIT_TIMED_OUT',
    hint: 'The change goes on. Look again later, or wait longer with --wait-timeout.',
    details: { id: state.id, trace_id: state.statusDetail?.traceId ?? '', request_id: requestId },
  });
}

/** Tells that something happened to a load balancer or below it. Keeps its watch open through lost connections. */
class News {
  readonly #session: Session;
  readonly #loadBalancerId: string;
  #stream: ClientReadableStream<LoadBalancer> | undefined;
  #reopen: NodeJS.Timeout | undefined;
  #isFresh = false;
  #wake: () => void = () => {};

  constructor(session: Session, loadBalancerId: string) {
    this.#session = session;
    this.#loadBalancerId = loadBalancerId;
    this.#open();
  }

  /** Returns at the first news since the last call, at the latest after `limitMs`. */
  async wait(limitMs: number): Promise<void> {
    if (!this.#isFresh) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, limitMs);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    this.#isFresh = false;
  }

  close(): void {
    clearTimeout(this.#reopen);
    this.#stream?.removeAllListeners('status');
    this.#stream?.cancel();
  }

  #open(): void {
    const stream = this.#session.stream(LoadBalancerServiceService.watchLoadBalancer, { id: this.#loadBalancerId });
    this.#stream = stream;
    stream.on('data', () => this.#tell());
    // Whatever ended it, asking for the object tells what is true; an error is not news by itself.
    stream.on('error', () => {});
    stream.on('status', () => {
      this.#tell();
      this.#reopen = setTimeout(() => this.#open(), REOPEN_MS);
    });
  }

  #tell(): void {
    this.#isFresh = true;
    this.#wake();
  }
}
