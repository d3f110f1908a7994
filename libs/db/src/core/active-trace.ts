import { context, propagation } from '@opentelemetry/api';

/** W3C trace context of the active span; null without tracing. */
export function activeTraceparent(): string | null {
  const carrier: { traceparent?: string } = {};
  propagation.inject(context.active(), carrier);
  return carrier.traceparent ?? null;
}
