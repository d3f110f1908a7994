import { DomainError } from '@octavia/domain';
import { context, createContextKey, propagation, type Span, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import type { AmphoraEndpoint } from '../amphora-driver.ts';
import type { AgentAnswer } from './answer.ts';

/**
 * Instrumentation of HTTP would make a second span and a second `traceparent` for the same call. Source: `suppressTracing` of
 * @opentelemetry/core, whose key is made by this name.
 */
const SUPPRESS = createContextKey('OpenTelemetry SDK Context Key SUPPRESS_TRACING');

/** One call as a span; `call` gets the headers that carry it to the agent. @param template path with names in braces */
export async function inCallSpan<T>(
  method: string,
  template: string,
  amphora: AmphoraEndpoint,
  call: (headers: Record<string, string>, span: Span) => Promise<T>,
): Promise<T> {
  const span = trace.getTracer('@octavia/drivers').startSpan(`${method} ${template}`, {
    kind: SpanKind.CLIENT,
    attributes: {
      'http.request.method': method,
      'url.template': template,
      'server.address': amphora.lbNetworkIp,
      'server.port': amphora.agentPort,
      'octavia.amphora.id': amphora.amphoraId,
    },
  });
  const headers: Record<string, string> = {};
  propagation.inject(trace.setSpan(context.active(), span), headers);
  try {
    return await context.with(context.active().setValue(SUPPRESS, true), () => call(headers, span));
  } catch (error) {
    span.setAttribute('error.type', error instanceof DomainError ? error.reason : 'ABORTED');
    span.setStatus({ code: SpanStatusCode.ERROR });
    throw error;
  } finally {
    span.end();
  }
}

/** Parts of a `Server-Timing` header that are looked at: an agent sends two or three. */
const MAX_TIMINGS = 10;

/** Writes down the status, and how long the agent took for what, such as `octavia.agent.check.duration` in seconds. */
export function recordAnswer(span: Span, { status, serverTiming }: AgentAnswer): void {
  span.setAttribute('http.response.status_code', status);
  for (const part of serverTiming.split(',').slice(0, MAX_TIMINGS)) {
    const [, name, durationMs] = /^\s*([\w-]{1,40})\s*;.*?\bdur=([\d.]+)/.exec(part) ?? [];
    if (!name || !durationMs) continue;
    const seconds = Number(durationMs) / 1000;
    span.setAttribute(`octavia.agent.${name}.duration`, seconds);
    span.addEvent(`agent ${name}`, { 'octavia.agent.duration': seconds });
  }
}
