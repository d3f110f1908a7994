/** A part of a trace. One that is not recorded still knows the trace of the caller, for the log. */
export interface TraceSpan {
  /** 32 hex digits, or null when the caller sent none. */
  readonly traceId: string | null;
  child(name: string): TraceSpan;
  /** Replaces its name: that of a request is known only once its route is. */
  named(name: string): void;
  set(attribute: string, value: string | number): void;
  end(error?: unknown): void;
}

export interface Tracing {
  /** Begins the span of a request. @param traceparent the W3C header of the caller */
  begin(name: string, traceparent: string | undefined): TraceSpan;
  /** Sends what is not sent yet. */
  stop(): Promise<void>;
}

/** Names of attributes: OpenTelemetry's where they exist. */
export const ATTRIBUTE = {
  method: 'http.request.method',
  path: 'url.path',
  scheme: 'url.scheme',
  route: 'http.route',
  status: 'http.response.status_code',
  error: 'error.type',
  amphora: 'octavia.amphora.id',
} as const;

/** Records nothing. */
export const noTracing: Tracing = {
  begin: (_name, traceparent) => silentSpan(traceIdOf(traceparent)),
  stop: async () => {},
};

/**
 * Tracing as the environment asks for it. The OpenTelemetry SDK is loaded only when there is somewhere to send spans: an amphora
 * must answer within 300 ms of its start.
 */
export async function openTracing(amphoraId: string, env: NodeJS.ProcessEnv): Promise<Tracing> {
  if (!env.OTEL_EXPORTER_OTLP_ENDPOINT && !env.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT) return noTracing;
  if (env.OTEL_SDK_DISABLED?.toLowerCase() === 'true' || env.OTEL_TRACES_EXPORTER === 'none') return noTracing;
  const { openTelemetry } = await import('./open-telemetry.ts');
  return openTelemetry(amphoraId);
}

function traceIdOf(traceparent: string | undefined): string | null {
  return /^00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}$/.exec(traceparent ?? '')?.[1] ?? null;
}

function silentSpan(traceId: string | null): TraceSpan {
  return { traceId, child: () => silentSpan(traceId), named: () => {}, set: () => {}, end: () => {} };
}
