import {
  type Context,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  type Tracer,
  trace,
} from '@opentelemetry/api';
import { W3CTraceContextPropagator } from '@opentelemetry/core';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { defaultResource, resourceFromAttributes } from '@opentelemetry/resources';
import { BatchSpanProcessor, type SpanExporter, TracerProvider } from '@opentelemetry/sdk-trace';
import { messageOf } from './errors.ts';
import { ATTRIBUTE, type TraceSpan, type Tracing } from './tracing.ts';

/** A change is live within a second; who looks at its trace does not want to wait longer for the agent's part. */
const EXPORT_DELAY_MS = 500;
/** Spans of a request that nobody can take are dropped, not kept. */
const EXPORT_TIMEOUT_MS = 5_000;
const MAX_QUEUE = 512;

const getter = {
  get: (carrier: Record<string, string>, key: string) => carrier[key],
  keys: (carrier: Record<string, string>) => Object.keys(carrier),
};

/** Spans by OTLP over HTTP, to where the standard OTEL_* variables say. @param exporter another way out, for tests */
export function openTelemetry(amphoraId: string, exporter: SpanExporter = new OTLPTraceExporter()): Tracing {
  const processor = new BatchSpanProcessor({
    exporter,
    scheduledDelayMillis: EXPORT_DELAY_MS,
    exportTimeoutMillis: EXPORT_TIMEOUT_MS,
    maxQueueSize: MAX_QUEUE,
    maxExportBatchSize: MAX_QUEUE,
  });
  const identity = { 'service.name': 'amphora-agent', [ATTRIBUTE.amphora]: amphoraId };
  const resource = defaultResource().merge(resourceFromAttributes(identity));
  const provider = new TracerProvider({ resource, spanProcessors: [processor] });
  const tracer = provider.getTracer('octavia.amphora-agent');
  const propagator = new W3CTraceContextPropagator();
  return {
    begin(name, traceparent) {
      const parent = traceparent ? propagator.extract(ROOT_CONTEXT, { traceparent }, getter) : ROOT_CONTEXT;
      return startSpan(tracer, name, parent, SpanKind.SERVER);
    },
    stop: () => provider.shutdown(),
  };
}

function startSpan(tracer: Tracer, name: string, parent: Context, kind: SpanKind): TraceSpan {
  const span: Span = tracer.startSpan(name, { kind }, parent);
  const context = trace.setSpan(parent, span);
  return {
    traceId: span.spanContext().traceId,
    child: (childName) => startSpan(tracer, childName, context, SpanKind.INTERNAL),
    named: (newName) => span.updateName(newName),
    set: (attribute, value) => span.setAttribute(attribute, value),
    end(error) {
      if (error !== undefined) {
        span.setAttribute(ATTRIBUTE.error, error instanceof Error ? error.name : '_OTHER');
        span.setStatus({ code: SpanStatusCode.ERROR, message: messageOf(error) });
      }
      span.end();
    },
  };
}
