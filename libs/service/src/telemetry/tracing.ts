import { context, propagation, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { W3CTraceContextPropagator } from '@opentelemetry/core';
import { type Sampler, type SpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace';

export { AlwaysOffSampler } from '@opentelemetry/sdk-trace';

export interface TracingParts {
  sampler?: Sampler;
  spanProcessors?: SpanProcessor[];
}

/** Makes spans work in this process: ids, the active span across awaits, and W3C headers. No exporter of its own. */
export function installTracing(parts: TracingParts): TracerProvider {
  const provider = new TracerProvider(parts);
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  propagation.setGlobalPropagator(new W3CTraceContextPropagator());
  trace.setGlobalTracerProvider(provider);
  return provider;
}

/** Takes the above away again. */
export function removeTracing(): void {
  trace.disable();
  propagation.disable();
  context.disable();
}
