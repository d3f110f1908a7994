import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { NotFound } from '@octavia/domain';
import { SpanKind } from '@opentelemetry/api';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ATTR, currentTraceContext, currentTraceId, withSpan } from '../src/index.ts';
import { recordSpans, type SpanRecorder, type TestPki, testPki } from '../src/testing/index.ts';
import { type Child, spawnFixture } from './child.ts';
import { emptySubnet, startWorld, until } from './world.ts';

describe('a trace', () => {
  let recorder: SpanRecorder;
  beforeEach(() => {
    recorder = recordSpans();
  });
  afterEach(() => recorder.stop());

  it('is one from the client through the server into the handler', async () => {
    const world = await startWorld({
      getSubnet: () => withSpan('look', {}, () => ({ ...emptySubnet, id: currentTraceId() ?? '' })),
    });
    const client = await world.lookup();
    const { id } = await withSpan('journey', {}, () => client.getSubnet({ id: '', projectId: '' }));
    await world.stop();
    const name = 'octavia.internal.v1.LookupService/GetSubnet';
    const [look, server, sent, journey] = recorder.spans();
    expect([look?.name, server?.name, sent?.name, journey?.name]).toEqual(['look', name, name, 'journey']);
    expect([server?.kind, sent?.kind]).toEqual([SpanKind.SERVER, SpanKind.CLIENT]);
    expect(look?.parentSpanContext?.spanId).toBe(server?.spanContext().spanId);
    expect(server?.parentSpanContext?.spanId).toBe(sent?.spanContext().spanId);
    expect(sent?.parentSpanContext?.spanId).toBe(journey?.spanContext().spanId);
    expect(new Set(recorder.spans().map((span) => span.spanContext().traceId))).toEqual(new Set([id]));
    expect(server?.attributes).toMatchObject({ [ATTR.CLIENT]: 'client', [ATTR.RPC_STATUS]: 'OK' });
    expect(sent?.attributes).toMatchObject({ [ATTR.SERVER_ADDRESS]: '127.0.0.1', [ATTR.RPC_SYSTEM]: 'grpc' });
  });

  it('tells the reason of a failure on both sides, and its id is quoted where the error is hidden', async () => {
    const world = await startWorld({
      getSubnet: ({ id }) => {
        if (id === 'bug') throw new TypeError('a bug');
        throw new NotFound('subnet', id);
      },
    });
    const client = await world.lookup();
    await client.getSubnet({ id: 'x', projectId: '' }).catch(() => {});
    expect(recorder.spans().map((span) => span.attributes[ATTR.ERROR_TYPE])).toEqual(Array(2).fill('SUBNET_NOT_FOUND'));
    recorder.reset();
    const error: Error = await client.getSubnet({ id: 'bug', projectId: '' }).then(
      () => new Error('it succeeded'),
      (failure: Error) => failure,
    );
    await world.stop();
    expect(error.message).toContain(recorder.spans()[0]?.spanContext().traceId ?? 'no span');
  });

  it('goes on from a stored context, linked to the other requests that it serves', async () => {
    const first = await withSpan('first', {}, () => currentTraceContext());
    const second = await withSpan('second', {}, () => currentTraceContext());
    await withSpan('flow', { parent: JSON.parse(JSON.stringify(first)), links: [second] }, () => {});
    const flow = recorder.named('flow');
    expect(flow?.spanContext().traceId).toBe(recorder.named('first')?.spanContext().traceId);
    expect(flow?.links.map((link) => link.context.spanId)).toEqual([recorder.named('second')?.spanContext().spanId]);
  });

  it('starts anew when the stored context is empty or rubbish', async () => {
    for (const parent of [{}, { traceparent: 'rubbish' }]) await withSpan('flow', { parent }, () => {});
    expect(recorder.spans().map((span) => span.parentSpanContext)).toEqual([undefined, undefined]);
  });
});

describe('telemetry of a process', () => {
  let pki: TestPki;
  let env: object;
  const children: Child[] = [];
  beforeAll(async () => {
    pki = await testPki();
    const { certFile, keyFile, caFile } = await pki.cert('traced');
    env = { TLS_CERT_FILE: certFile, TLS_KEY_FILE: keyFile, TLS_CA_FILE: caFile };
  });
  afterEach(async () => {
    for (const child of children.splice(0)) {
      child.process.kill('SIGKILL');
      await child.ended;
    }
  });
  afterAll(() => pki.remove());

  function run(more: object): Child {
    const register = fileURLToPath(new URL('../src/telemetry/register.ts', import.meta.url));
    const child = spawnFixture('traced.ts', [], { env: { ...env, ...more }, nodeArgs: ['--import', register] });
    children.push(child);
    return child;
  }

  it('has trace ids in its log without any setting', async () => {
    const child = run({});
    const handled = await child.says('handled');
    expect(handled.trace_id).toMatch(/^[0-9a-f]{32}$/);
    expect(handled.traceparent).toContain(handled.trace_id);
    await child.says('started');
    child.process.kill('SIGTERM');
    expect(await child.ended).toMatchObject({ code: 0 });
    expect(child.noise.join('')).toBe('');
  });

  it('is nothing at all when it is disabled', async () => {
    const handled = await run({ OTEL_SDK_DISABLED: 'true' }).says('handled');
    expect(handled).not.toHaveProperty('trace_id');
  });

  it('gives RPC metrics of both sides to Prometheus', async () => {
    const port = await freePort();
    const child = run({ METRICS_BIND: `127.0.0.1:${port}` });
    await child.says('started');
    const scrape = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
    for (const side of ['server', 'client']) {
      const line = scrape.split('\n').find((text) => text.startsWith(`rpc_${side}_call_duration_count`));
      expect(line).toContain('rpc_method="octavia.internal.v1.LookupService/GetDrivers"');
      expect(line).toContain('rpc_response_status_code="OK"');
    }
    expect(scrape).toContain('service_name="octavia-service"');
  });

  it('shows memory, processor time, the lag of the event loop and how long certificates are good for', async () => {
    const port = await freePort();
    await run({ METRICS_BIND: `127.0.0.1:${port}` }).says('started');
    const scrape = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
    const value = (series: string) =>
      Number(
        scrape
          .split('\n')
          .find((line) => line.startsWith(series))
          ?.split(' ')[1],
      );
    expect(value('process_memory_usage')).toBeGreaterThan(20_000_000);
    expect(value('process_cpu_time_total{cpu_mode="user"}')).toBeGreaterThan(0);
    expect(value('process_uptime')).toBeGreaterThan(0);
    expect(value('nodejs_eventloop_delay_p99')).toBeGreaterThanOrEqual(0);
    expect(value('nodejs_eventloop_utilization')).toBeLessThanOrEqual(1);
    // The test authority's certificates are good for an hour, it itself for a day.
    expect(value('octavia_certificate_remaining{octavia_certificate_kind="service"}')).toBeGreaterThan(3_000);
    expect(value('octavia_certificate_remaining{octavia_certificate_kind="authority"}')).toBeGreaterThan(80_000);
  });

  it('serves though the port of its metrics is taken', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => taken.once('listening', resolve));
    const child = run({ METRICS_BIND: `127.0.0.1:${(taken.address() as AddressInfo).port}` });
    await child.says('metrics cannot be served');
    await child.says('started');
    taken.close();
  });

  it('sends traces, metrics and logs by OTLP at its end at the latest, when the standard variables ask for it', async () => {
    const collector = await startCollector();
    const endpoint = `http://127.0.0.1:${(collector.server.address() as AddressInfo).port}`;
    const child = run({ OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_SERVICE_NAME: 'named' });
    const { trace_id } = await child.says('handled');
    await child.says('started');
    child.process.kill('SIGTERM');
    expect(await child.ended).toMatchObject({ code: 0 });
    await until(() => ['/v1/traces', '/v1/metrics', '/v1/logs'].every((path) => collector.bodies.has(path)));
    const traces = collector.bodies.get('/v1/traces') ?? Buffer.alloc(0);
    expect(traces.includes(Buffer.from(String(trace_id), 'hex'))).toBe(true);
    expect(traces.includes('named')).toBe(true);
    expect(collector.bodies.get('/v1/metrics')?.includes('rpc.server.call.duration')).toBe(true);
    expect(collector.bodies.get('/v1/logs')?.includes('handled')).toBe(true);
    collector.server.close();
  });

  it('does not hold up the end of the process when the collector is away', async () => {
    const child = run({ OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${await freePort()}` });
    await child.says('started');
    child.process.kill('SIGTERM');
    expect(await child.ended).toMatchObject({ code: 0 });
  });
});

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Takes OTLP over HTTP and keeps the bytes by path. */
async function startCollector(): Promise<{ server: Server; bodies: Map<string, Buffer> }> {
  const bodies = new Map<string, Buffer>();
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const path = request.url ?? '';
    bodies.set(path, Buffer.concat([bodies.get(path) ?? Buffer.alloc(0), ...chunks]));
    response.end();
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  return { server, bodies };
}
