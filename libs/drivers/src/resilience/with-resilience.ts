import { Unavailable } from '@octavia/domain';
import { ExponentialBackoff, handleWhen, retry, TaskCancelledError, TimeoutStrategy, timeout } from 'cockatiel';
import type { CallContext } from '../call-context.ts';
import { AgentCertificateExpired, CircuitOpen, FenceNotConfirmed } from '../errors.ts';
import { type BreakerRule, type BreakerState, Breakers } from './breakers.ts';
import { MeasuredCalls } from './measured-call.ts';

/** How one method is guarded. */
export interface MethodRule {
  /** Position of its `CallContext`; -1: it has none. */
  readonly context: number;
  /** Milliseconds until a call is given up, whatever the driver does. */
  readonly timeoutMs: number;
  /** True: it only asks, so it is tried again here. What changes something is tried again by the flow engine. */
  readonly isRead?: boolean;
  /** True: it asks whether the endpoint is up, also while that boots: it is never held back, and its failures do not count. */
  readonly isProbe?: boolean;
}

export interface ResiliencePolicy {
  /** Such as `compute`. */
  readonly driver: string;
  /** Methods that are not here are called as they are. */
  readonly methods: Readonly<Record<string, MethodRule>>;
  /** Tries of a read, from 1, and the pauses between them, doubled each time. Milliseconds. */
  readonly retry: { readonly attempts: number; readonly initialDelayMs: number; readonly maxDelayMs: number };
  readonly breaker: BreakerRule;
  /** Whose breaker a call belongs to. */
  readonly endpointOf: (method: string, args: readonly unknown[]) => string;
  /** Makes the error of a call that was given up. */
  readonly unavailable: (message: string, details: Record<string, string>) => Unavailable;
}

/** A driver that tells of its circuit breakers. */
export type Resilient<D> = D & { breakers(): readonly BreakerState[] };

type Method = (...args: unknown[]) => Promise<unknown>;

/** Wraps what a signal's abort throws, so that it is neither retried nor counted, whatever its reason is. */
class Aborted {
  readonly reason: unknown;
  constructor(reason: unknown) {
    this.reason = reason;
  }
}

/**
 * The same driver with a span and a measure for each call, a time-out for each method, retries for reads, and a circuit breaker per endpoint. Errors stay the driver's own;
 * two are added: `policy.unavailable` for a call that was given up, CircuitOpen for one that was not made.
 */
export function withResilience<D extends object>(driver: D, policy: ResiliencePolicy): Resilient<D> {
  const breakers = new Breakers(policy.driver, policy.breaker, isTrouble);
  const calls = new MeasuredCalls(policy.driver);
  const { attempts, initialDelayMs, maxDelayMs } = policy.retry;
  const retries = retry(handleWhen(isTrouble), {
    maxAttempts: attempts - 1,
    backoff: new ExponentialBackoff({ initialDelay: initialDelayMs, maxDelay: maxDelayMs }),
  });

  const guard = (name: string, rule: MethodRule, method: Method): Method => {
    const limit = timeout(rule.timeoutMs, TimeoutStrategy.Aggressive);
    return async (...args) => {
      const context = (rule.context < 0 ? undefined : args[rule.context]) as CallContext | undefined;
      const endpoint = policy.endpointOf(name, args);
      const once = async () => {
        const limited = limit.execute(
          ({ signal }) => method(...withSignal(args, rule.context, context, signal)),
          context?.signal,
        );
        return await limited.catch((error: unknown) => {
          if (context?.signal?.aborted) throw new Aborted(context.signal.reason);
          throw isOfTimeOut(error) ? gaveUp(policy, name, rule, endpoint) : error;
        });
      };
      const counted = rule.isProbe ? once : () => breakers.run(endpoint, once);
      try {
        return await calls.run(name, endpoint, () =>
          rule.isRead ? retries.execute(counted, context?.signal) : counted(),
        );
      } catch (error) {
        throw error instanceof Aborted ? error.reason : error;
      }
    };
  };

  const guarded = new Map<string | symbol, unknown>([['breakers', () => breakers.states()]]);
  for (const [name, rule] of Object.entries(policy.methods)) {
    const method: unknown = Reflect.get(driver, name);
    if (typeof method === 'function') guarded.set(name, guard(name, rule, method.bind(driver) as Method));
  }
  return new Proxy(driver, {
    get(target, name) {
      if (guarded.has(name)) return guarded.get(name);
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value; // Private fields are the target's, not the proxy's.
    },
  }) as Resilient<D>;
}

/** Says nothing about the service that was asked: it answers. */
const NO_TROUBLE = [FenceNotConfirmed, CircuitOpen, AgentCertificateExpired];

/** Only what may pass by itself. */
function isTrouble(error: unknown): boolean {
  return error instanceof Unavailable && !NO_TROUBLE.some((kind) => error instanceof kind);
}

function withSignal(
  args: unknown[],
  position: number,
  context: CallContext | undefined,
  signal: AbortSignal,
): unknown[] {
  if (position < 0) return args;
  const all = [...args];
  while (all.length < position) all.push(undefined);
  all[position] = { ...context, signal };
  return all;
}

/** The time-out's own error, or what a driver throws when the time-out aborts it. */
function isOfTimeOut(error: unknown): boolean {
  return error instanceof TaskCancelledError || (error instanceof Error && error.name === 'AbortError');
}

function gaveUp({ driver, unavailable }: ResiliencePolicy, name: string, { timeoutMs }: MethodRule, endpoint: string) {
  const details = { driver, method: name, endpoint, timeoutMs: String(timeoutMs) };
  return unavailable(
    `The ${driver} driver gave up ${name} after ${timeoutMs} ms without an answer (${endpoint}).`,
    details,
  );
}
