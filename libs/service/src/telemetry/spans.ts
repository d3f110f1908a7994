import { DomainError, type TraceContext } from '@octavia/domain';
import {
  type Attributes,
  type Context,
  context,
  isSpanContextValid,
  type Link,
  type Meter,
  metrics,
  propagation,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  type Tracer,
  trace,
} from '@opentelemetry/api';
import { ATTR } from './names.ts';

const SCOPE = 'octavia';

/** The tracer of all our spans. Costs nothing when telemetry is not loaded. */
export function tracer(): Tracer {
  return trace.getTracer(SCOPE);
}

/** The meter of all our metrics. Make instruments after telemetry is loaded, so inside functions or constructors. */
export function meter(): Meter {
  return metrics.getMeter(SCOPE);
}

/** The active trace in W3C form, to store with a flow or to send in a header; empty when there is none. */
export function currentTraceContext(): TraceContext {
  const carrier: { traceparent?: string; tracestate?: string } = {};
  propagation.inject(context.active(), carrier);
  const { traceparent, tracestate } = carrier;
  return { ...(traceparent ? { traceparent } : {}), ...(tracestate ? { tracestate } : {}) };
}

/** Id of the active trace, to quote to an operator; undefined when there is none. */
export function currentTraceId(): string | undefined {
  const span = trace.getActiveSpan()?.spanContext();
  return span && isSpanContextValid(span) ? span.traceId : undefined;
}

/** The context that a stored or received trace context describes. Rubbish gives one without a span. */
export function contextFrom(stored: TraceContext): Context {
  return propagation.extract(ROOT_CONTEXT, stored);
}

function linkTo(stored: TraceContext): Link[] {
  const spanContext = trace.getSpanContext(contextFrom(stored));
  return spanContext ? [{ context: spanContext }] : [];
}

/** Most links of a span: OpenTelemetry's own limit. */
const MAX_LINKS = 128;

export interface SpanSettings {
  attributes?: Attributes;
  kind?: SpanKind;
  /** Stored trace context to continue; without it the active span is the parent. */
  parent?: TraceContext;
  /** Stored trace contexts of the other requests that this work serves. */
  links?: readonly TraceContext[];
}

/**
 * Runs `fn` in a span of its own. What it throws is recorded as `error.type` (the reason, where there is one)
 * and thrown on.
 */
export async function withSpan<T>(
  name: string,
  { attributes, kind = SpanKind.INTERNAL, parent, links = [] }: SpanSettings,
  fn: (span: Span) => T | Promise<T>,
): Promise<T> {
  const start = parent ? contextFrom(parent) : context.active();
  const options = { attributes, kind, links: links.slice(0, MAX_LINKS).flatMap(linkTo) };
  const span = tracer().startSpan(name, options, start);
  try {
    return await context.with(trace.setSpan(start, span), () => fn(span));
  } catch (error) {
    recordFailure(span, error);
    throw error;
  } finally {
    span.end();
  }
}

/** Marks the span as failed. The message is that for callers, so it holds no secret. */
export function recordFailure(span: Span, error: unknown): void {
  span.setAttribute(ATTR.ERROR_TYPE, errorType(error));
  span.setStatus({ code: SpanStatusCode.ERROR, message: error instanceof Error ? error.message : String(error) });
}

/** The reason of a domain error, else the class of the error: few values, so that it may be on metrics. */
export function errorType(error: unknown): string {
  if (error instanceof DomainError) return error.reason;
  return error instanceof Error ? error.name : '_OTHER';
}
