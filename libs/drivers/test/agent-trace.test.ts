import { randomUUID } from 'node:crypto';
import { context, propagation, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { W3CTraceContextPropagator } from '@opentelemetry/core';
import { InMemorySpanExporter, SimpleSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace';
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { HaproxyAmphoraDriver } from '../src/amphora/haproxy/haproxy-amphora.ts';
import { amphoraPolicy } from '../src/resilience/policies.ts';
import { withResilience } from '../src/resilience/with-resilience.ts';
import { startStandInAgent } from './stand-in-https-agent.ts';

const LB = 'b0000000-0000-4000-8000-000000000001';
const exporter = new InMemorySpanExporter();

beforeAll(() => {
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  propagation.setGlobalPropagator(new W3CTraceContextPropagator());
  trace.setGlobalTracerProvider(new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] }));
});
afterAll(() => {
  context.disable();
  propagation.disable();
  trace.disable();
});
beforeEach(() => exporter.reset());

async function open() {
  const world = await startStandInAgent(randomUUID());
  const driver = new HaproxyAmphoraDriver({ ...world.files, attempts: 2, retryIntervalMs: 1 });
  onTestFinished(async () => {
    await driver.close();
    await world.stop();
  });
  return { ...world, driver };
}

describe('the trace of a call to an agent', () => {
  it('goes on in the agent, which gets one traceparent: that of the call’s own span', async () => {
    const { driver, agent, endpoint } = await open();
    const tracer = trace.getTracer('test');
    await tracer.startActiveSpan('step push', async (step) => {
      await driver.pushHaproxy(endpoint, LB, 'global\n');
      step.end();
    });
    const spans = exporter.getFinishedSpans();
    const step = spans.find(({ name }) => name === 'step push');
    const calls = spans.filter(({ kind }) => kind === SpanKind.CLIENT);
    expect(calls.map(({ name }) => name)).toEqual([
      'PUT /1.0/loadbalancer/{amphora}/{lb}/haproxy',
      'PUT /1.0/loadbalancer/{lb}/reload',
    ]);
    const expected = calls.map((call) => `00-${call.spanContext().traceId}-${call.spanContext().spanId}-01`);
    expect(agent.seen.map(({ headers }) => headers.traceparent)).toEqual(expected);
    for (const call of calls) expect(call.parentSpanContext?.spanId).toBe(step?.spanContext().spanId);
  });

  it('is below a span of the driver call, which tells the reason of a failure', async () => {
    const { driver, agent, endpoint } = await open();
    const guarded = withResilience(driver, amphoraPolicy());
    await guarded.pushHaproxy(endpoint, LB, 'global\n');
    agent.troubles.push({ kind: 'text', status: 502, text: 'x' }, { kind: 'text', status: 502, text: 'x' });
    await guarded.getHaproxyEtag(endpoint, LB).catch(() => {});
    const spans = exporter.getFinishedSpans();
    const push = spans.find(({ name }) => name === 'amphora pushHaproxy');
    expect(push?.attributes).toMatchObject({
      'octavia.driver.kind': 'amphora',
      'octavia.driver.method': 'pushHaproxy',
    });
    const below = spans.filter(({ parentSpanContext }) => parentSpanContext?.spanId === push?.spanContext().spanId);
    expect(below.map(({ kind }) => kind)).toEqual([SpanKind.CLIENT, SpanKind.CLIENT]);
    const failed = spans.find(({ name }) => name === 'amphora getHaproxyEtag');
    expect(failed?.attributes['error.type']).toBe('AMPHORA_UNAVAILABLE');
  });

  it('tells what the agent says of its own time', async () => {
    const { driver, endpoint } = await open();
    await driver.stop(endpoint, LB).catch(() => {});
    const [span] = exporter.getFinishedSpans();
    expect(span?.attributes).toMatchObject({
      'http.request.method': 'PUT',
      'server.address': '127.0.0.1',
      'server.port': endpoint.agentPort,
      'octavia.amphora.id': endpoint.amphoraId,
      'octavia.agent.check.duration': 0.0125,
      'octavia.agent.reload.duration': 0.1,
    });
    expect(span?.events.map(({ name }) => name)).toEqual(['agent check', 'agent reload']);
  });

  it('has a span for each try, and says what went wrong', async () => {
    const { driver, agent, endpoint } = await open();
    agent.troubles.push({ kind: 'cut' }, { kind: 'text', status: 502, text: 'x' });
    await driver.getFacts(endpoint).catch(() => {});
    const spans = exporter.getFinishedSpans();
    expect(spans).toHaveLength(2);
    expect(spans[1]?.attributes).toMatchObject({
      'http.response.status_code': 502,
      'error.type': 'AMPHORA_UNAVAILABLE',
    });
    expect(spans[1]?.status.code).toBe(SpanStatusCode.ERROR);
  });
});
