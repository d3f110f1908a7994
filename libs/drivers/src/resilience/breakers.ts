import { faultOf } from '@octavia/domain';
import { BrokenCircuitError, CircuitState, ConsecutiveBreaker, circuitBreaker, handleWhen } from 'cockatiel';
import { CircuitOpen } from '../errors.ts';

export interface BreakerRule {
  /** Failures in a row after which an endpoint rests. From 1. */
  readonly failures: number;
  /** How long it rests before one call is let through to see. Milliseconds, from 1. */
  readonly restMs: number;
}

/** What one breaker does now. For people and for sums: endpoints are too many to be a metric's attribute. */
export interface BreakerState {
  readonly driver: string;
  readonly endpoint: string;
  readonly state: 'closed' | 'open' | 'half-open';
  /** Milliseconds until an open one lets a call through; 0 for the others. */
  readonly retryAfterMs: number;
  /** Since when it has that state; null: from the start. */
  readonly since: Date | null;
  /** Of the last call that counted as a failure; null: none did. */
  readonly lastError: { readonly reason: string; readonly message: string; readonly at: Date } | null;
}

interface Endpoint {
  readonly breaker: ReturnType<typeof circuitBreaker>;
  /** On our monotonic clock. */
  openedAt: number;
  since: Date | null;
  lastError: BreakerState['lastError'];
}

/** Endpoints that are remembered. The one that was called longest ago is forgotten, one that is well before one that rests. */
const MAX_ENDPOINTS = 2000;

/** A circuit breaker per endpoint, so that one dead amphora holds up no call to another. */
export class Breakers {
  readonly #driver: string;
  readonly #rule: BreakerRule;
  readonly #counts: (error: unknown) => boolean;
  readonly #endpoints = new Map<string, Endpoint>();

  /** @param counts whether an error says that the endpoint is in trouble */
  constructor(driver: string, rule: BreakerRule, counts: (error: unknown) => boolean) {
    this.#driver = driver;
    this.#rule = rule;
    this.#counts = counts;
  }

  /** @throws CircuitOpen without a call, while the endpoint rests */
  async run<T>(endpoint: string, call: () => Promise<T>): Promise<T> {
    const entry = this.#entry(endpoint);
    try {
      return await entry.breaker.execute(call);
    } catch (error) {
      if (!(error instanceof BrokenCircuitError)) {
        if (this.#counts(error)) entry.lastError = { ...faultOf(error), at: new Date() };
        throw error;
      }
      throw new CircuitOpen(this.#driver, endpoint, this.#restLeft(entry.openedAt), {
        cause: errorOf(entry.breaker.lastFailure),
      });
    }
  }

  /** Every endpoint that is remembered, also those that are well. */
  states(): readonly BreakerState[] {
    return [...this.#endpoints].map(([endpoint, { breaker, openedAt, since, lastError }]) => ({
      driver: this.#driver,
      endpoint,
      state: nameOf(breaker.state),
      retryAfterMs: breaker.state === CircuitState.Open ? this.#restLeft(openedAt) : 0,
      since,
      lastError,
    }));
  }

  #entry(endpoint: string): Endpoint {
    const entry = this.#endpoints.get(endpoint) ?? this.#make();
    this.#endpoints.delete(endpoint); // So that the map stays ordered by last use.
    this.#endpoints.set(endpoint, entry);
    if (this.#endpoints.size > MAX_ENDPOINTS) this.#forgetOne();
    return entry;
  }

  #forgetOne(): void {
    for (const [endpoint, { breaker }] of this.#endpoints) {
      if (breaker.state === CircuitState.Closed) return void this.#endpoints.delete(endpoint);
    }
    const [oldest] = this.#endpoints.keys();
    if (oldest !== undefined) this.#endpoints.delete(oldest);
  }

  #make(): Endpoint {
    const { failures, restMs } = this.#rule;
    const policy = { halfOpenAfter: restMs, breaker: new ConsecutiveBreaker(failures) };
    const breaker = circuitBreaker(handleWhen(this.#counts), policy);
    const entry: Endpoint = { breaker, openedAt: 0, since: null, lastError: null };
    breaker.onBreak(() => {
      entry.openedAt = performance.now();
    });
    breaker.onStateChange(() => {
      entry.since = new Date();
    });
    return entry;
  }

  #restLeft(openedAt: number): number {
    return Math.max(1, Math.ceil(openedAt + this.#rule.restMs - performance.now()));
  }
}

function nameOf(state: CircuitState): BreakerState['state'] {
  if (state === CircuitState.Open || state === CircuitState.Isolated) return 'open';
  return state === CircuitState.HalfOpen ? 'half-open' : 'closed';
}

function errorOf(failure: object | undefined): unknown {
  return failure && 'error' in failure ? failure.error : undefined;
}
