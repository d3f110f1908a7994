import { InMemorySpanExporter, type ReadableSpan, SimpleSpanProcessor } from '@opentelemetry/sdk-trace';
import { installTracing, removeTracing } from '../telemetry/tracing.ts';

/** What was traced in this process since `recordSpans`. */
export interface SpanRecorder {
  /** Ended spans, in the order in which they ended. */
  spans(): readonly ReadableSpan[];
  /** The first ended span of that name; undefined when there is none. */
  named(name: string): ReadableSpan | undefined;
  /** Forgets what was recorded. */
  reset(): void;
  /** Takes the recorder away, so that another one can be made. */
  stop(): Promise<void>;
}

/** Records every span of this process in memory. One at a time: the tracer provider is global. */
export function recordSpans(): SpanRecorder {
  const exporter = new InMemorySpanExporter();
  removeTracing();
  const provider = installTracing({ spanProcessors: [new SimpleSpanProcessor({ exporter })] });
  return {
    spans: () => exporter.getFinishedSpans(),
    named: (name) => exporter.getFinishedSpans().find((span) => span.name === name),
    reset: () => exporter.reset(),
    async stop() {
      await provider.shutdown();
      removeTracing();
    },
  };
}
