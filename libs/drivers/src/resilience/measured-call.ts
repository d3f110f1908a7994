import { DomainError } from '@octavia/domain';
import { type Attributes, context, type Histogram, metrics, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';

/** Bounds of the buckets, in seconds: from a local driver's millisecond to the longest that an agent takes. */
const BOUNDS = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 180];
const SCOPE = '@octavia/drivers';

/** Makes each call to a driver a span, and measures it: tries and waiting included, as the flow feels it. */
export class MeasuredCalls {
  readonly #kind: string;
  readonly #duration: Histogram;

  /** Make it after telemetry is loaded. @param kind of the driver, such as `compute` */
  constructor(kind: string) {
    this.#kind = kind;
    this.#duration = metrics.getMeter(SCOPE).createHistogram('octavia.driver.call.duration', {
      unit: 's',
      description: 'Duration of calls to drivers, with their tries',
      advice: { explicitBucketBoundaries: BOUNDS },
    });
  }

  /** @throws what `call` throws */
  async run<T>(method: string, endpoint: string, call: () => Promise<T>): Promise<T> {
    const startedAt = performance.now();
    const attributes: Attributes = { 'octavia.driver.kind': this.#kind, 'octavia.driver.method': method };
    const span = trace.getTracer(SCOPE).startSpan(`${this.#kind} ${method}`, {
      kind: SpanKind.INTERNAL,
      // Endpoints are too many for a metric.
      attributes: { ...attributes, 'octavia.driver.endpoint': endpoint },
    });
    try {
      return await context.with(trace.setSpan(context.active(), span), call);
    } catch (error) {
      attributes['error.type'] = error instanceof DomainError ? error.reason : 'ABORTED';
      span.setAttribute('error.type', attributes['error.type']);
      span.setStatus({ code: SpanStatusCode.ERROR });
      throw error;
    } finally {
      this.#duration.record((performance.now() - startedAt) / 1000, attributes);
      span.end();
    }
  }
}
