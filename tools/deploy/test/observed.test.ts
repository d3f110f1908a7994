/** A real installation, looked at by programs that are not ours: an OTLP receiver and Debian's Prometheus. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Journey } from '@octavia/launcher/testing';
import { Listener, LoadBalancer, Member, Pool } from '@octavia/proto';
import { withSpan } from '@octavia/service';
import { recordSpans, type SpanRecorder } from '@octavia/service/testing';
import * as conventions from '@opentelemetry/semantic-conventions/incubating';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findPrometheus } from '../src/prometheus.ts';
import { allQueries, labelsOf, metricsOf } from '../src/queries.ts';
import { AS, openClients } from './clients.ts';
import { Prometheus } from './prometheus.ts';
import { Receiver, type Trace } from './receiver.ts';

const SERVICES = ['api-gateway', 'worker', 'health', 'heartbeat-udp', 'housekeeping'];
const journey = new Journey(null);
const receiver = new Receiver();
const prometheus = new Prometheus();
let spans: SpanRecorder;
let clients: ReturnType<typeof openClients>;
let loadBalancerId: string;
let listenerId: string;
let poolId: string;
/** Ids of the whole story: one trace, begun by the caller. */
let story: { traceId: string; spanId: string };
let trace: Trace;

beforeAll(async () => {
  await receiver.start();
  Object.assign(process.env, {
    OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint,
    // Sooner than the default of 5 s, so that nobody has to wait.
    OTEL_BSP_SCHEDULE_DELAY: '200',
    LOG_LEVEL: 'debug',
  });
  spans = recordSpans();
  const { code, stderr } = await journey.npm('start', '--', '--detach');
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  clients = openClients(journey.home);
  await withSpan('story', {}, async (span) => {
    story = span.spanContext();
    await tell();
  });
  await journey.until('the last span of the story arrived', async () => {
    trace = receiver.trace(story.traceId);
    return trace.of('amphora-agent', 'haproxy reload').length > 0 && trace.orphans([]).every(isOurs);
  });
}, 300_000);

afterAll(async () => {
  clients?.close();
  await prometheus.stop();
  await journey.end();
  await receiver.stop();
  await spans.stop();
});

/** Spans of this test stay here, and are the parents of the gateway's. */
function isOurs({ parentSpanId }: { parentSpanId?: string }): boolean {
  return spans.spans().some((span) => span.spanContext().spanId === parentSpanId) || parentSpanId === story.spanId;
}

async function settled(): Promise<void> {
  await journey.until('the load balancer is ACTIVE', async () => {
    const lb = await clients.loadBalancers.getLoadBalancer({ id: loadBalancerId }, AS);
    return lb.provisioningStatus === 'PROVISIONING_STATUS_ACTIVE';
  });
}

async function addListener(port: number): Promise<string> {
  const listener = Listener.fromPartial({ loadBalancerId, protocol: 'PROTOCOL_HTTP', protocolPort: port });
  return (await clients.listeners.createListener({ listener, requestId: '' }, AS)).id;
}

/** A load balancer with listener, pool and member, one after the other. */
async function tell(): Promise<void> {
  const loadBalancer = LoadBalancer.fromPartial({ name: 'web' });
  loadBalancerId = (await clients.loadBalancers.createLoadBalancer({ loadBalancer, requestId: '' }, AS)).id;
  await settled();
  listenerId = await addListener(8080);
  await settled();
  const pool = Pool.fromPartial({ protocol: 'PROTOCOL_HTTP', lbAlgorithm: 'LB_ALGORITHM_ROUND_ROBIN' });
  poolId = (await clients.pools.createPool({ pool, listenerId, requestId: '' }, AS)).id;
  await settled();
  const member = Member.fromPartial({ poolId, address: '127.0.0.1', protocolPort: await journey.web('one') });
  await clients.members.createMember({ member, requestId: '' }, AS);
  await settled();
}

describe('one trace, as a receiver of OTLP sees it', () => {
  it('goes from the call through the transaction to the queue', () => {
    const call = trace.one('api-gateway', 'octavia.v1.MemberService/CreateMember');
    expect(call.kind).toBe('SPAN_KIND_SERVER');
    const sql = trace.below(call).filter(({ attributes }) => attributes?.['db.system.name'] === 'postgresql');
    const texts = sql.map(({ attributes }) => String(attributes?.['db.query.text']));
    expect(texts.at(0)).toBeDefined();
    for (const part of ['BEGIN', 'COMMIT']) expect(texts).toContain(part);
    for (const part of ['FOR UPDATE', 'INSERT INTO flow']) expect(texts.join('\n')).toContain(part);
    const below = trace.below(call).filter(({ resource }) => resource['service.name'] === 'worker');
    expect(below.map(({ name }) => name)).toEqual(
      expect.arrayContaining(['queue load_balancer.update', 'flow load_balancer.update']),
    );
  });

  it('goes on through each step and each call to a driver', () => {
    const flow = trace.one('worker', 'flow load_balancer.create');
    expect(trace.path(flow)).toEqual([
      'octavia.v1.LoadBalancerService/CreateLoadBalancer',
      'flow load_balancer.create',
    ]);
    const steps = trace.below(flow).filter(({ name }) => name.startsWith('step '));
    expect(steps.map(({ name }) => name)).toEqual(
      expect.arrayContaining(['step allocate_amphorae', 'step plug_vip', 'step push_configuration']),
    );
    const plugging = steps.find(({ name }) => name === 'step plug_vip');
    const drivers = plugging ? trace.below(plugging).map(({ name }) => name) : [];
    expect(drivers).toEqual(expect.arrayContaining(['network plugVip', 'amphora plugVip']));
  });

  it('ends in the agent, with the check and the reload of HAProxy', () => {
    const reload = trace.one('amphora-agent', 'haproxy reload');
    expect(trace.path(reload).slice(1)).toEqual([
      'flow load_balancer.update',
      'step push_configuration',
      'amphora pushHaproxy',
      'PUT /1.0/loadbalancer/{lb}/reload',
      'PUT /1.0/loadbalancer/:lb/:action',
      'haproxy reload',
    ]);
    const check = trace.one('amphora-agent', 'haproxy check');
    expect(trace.path(check).at(-2)).toBe('PUT /1.0/loadbalancer/:amp/:lb/haproxy');
    expect(trace.of('amphora-agent', 'haproxy start')).toHaveLength(1);
  });

  it('links a flow to the other requests that it serves', async () => {
    const calls = [8081, 8082, 8083, 8084].map((port) =>
      withSpan(`request ${port}`, {}, async (span) => {
        await addListener(port);
        return span.spanContext().traceId;
      }),
    );
    const requests = new Set(await Promise.all(calls));
    await settled();
    await journey.until('a flow is linked to a request of another trace', async () =>
      receiver.spans.some(
        ({ name, traceId, links = [] }) =>
          name === 'flow load_balancer.update' &&
          requests.has(traceId) &&
          links.some((link) => link.traceId !== traceId && requests.has(link.traceId)),
      ),
    );
  });

  it('goes from the gateway to the worker and back with the reason, when a look-up fails', async () => {
    const { traceId } = await withSpan('failing', {}, async (span) => {
      const subnetId = '00000000-0000-4000-8000-000000000000';
      const member = Member.fromPartial({ poolId, address: '127.0.0.1', protocolPort: 1, subnetId });
      await expect(clients.members.createMember({ member, requestId: '' }, AS)).rejects.toThrow();
      return span.spanContext();
    });
    const name = 'octavia.internal.v1.LookupService/GetSubnet';
    await journey.until('both sides arrived', async () => {
      const failing = receiver.trace(traceId);
      return failing.of('worker', name).length + failing.of('api-gateway', name).length === 2;
    });
    const failing = receiver.trace(traceId);
    const [asked, answered] = [failing.one('api-gateway', name), failing.one('worker', name)];
    expect([asked.kind, answered.kind]).toEqual(['SPAN_KIND_CLIENT', 'SPAN_KIND_SERVER']);
    expect(answered.parentSpanId).toBe(asked.spanId);
    expect(answered.attributes).toMatchObject({
      'rpc.response.status_code': 'NOT_FOUND',
      'error.type': 'SUBNET_NOT_FOUND',
    });
    expect(answered.status?.code).toBe('STATUS_CODE_ERROR');
  });

  it('uses the names of the semantic conventions, and octavia. for the rest', () => {
    // The one name of its own that the instrumentation of pg gives to prepared statements.
    const known = new Set<unknown>([...Object.values(conventions), 'db.postgresql.plan']);
    const names = new Set(receiver.spans.flatMap(({ attributes = {} }) => Object.keys(attributes)));
    const unknown = [...names].filter((name) => !known.has(name) && !name.startsWith('octavia.'));
    expect(unknown).toEqual([]);
    const kinds = (key: string) => receiver.spans.filter(({ attributes }) => attributes?.[key] !== undefined);
    for (const { attributes } of kinds('rpc.method')) expect(attributes).toMatchObject({ 'rpc.system.name': 'grpc' });
    for (const { attributes, kind } of kinds('http.request.method')) {
      if (kind === 'SPAN_KIND_SERVER') expect(attributes).toMatchObject({ 'url.scheme': 'https' });
      else expect(attributes).toHaveProperty(['server.address']);
    }
    for (const { resource } of receiver.spans) {
      expect([...SERVICES, 'amphora-agent']).toContain(resource['service.name']);
    }
  });

  it('holds no id in the name of a span, so that names can be grouped', () => {
    const names = [...new Set(receiver.spans.map(({ name }) => name))];
    expect(names.filter((name) => /[0-9a-f]{8}-[0-9a-f]{4}|\d+\.\d+\.\d+\.\d+/.test(name))).toEqual([]);
  });
});

describe('the log of a service', () => {
  it('tells the settings in effect, and never a secret', () => {
    const secrets = journey.secrets();
    for (const service of SERVICES) {
      const lines = readFileSync(join(journey.home, 'logs', `${service}.log`), 'utf8').split('\n');
      const line = lines.find((text) => text.includes('"settings in effect"'));
      expect(JSON.parse(line ?? '{}').settings).toMatchObject({
        GRPC_BIND: expect.stringContaining('127.0.0.1:'),
        METRICS_BIND: expect.stringContaining('127.0.0.1:'),
      });
    }
    for (const name of readdirSync(join(journey.home, 'logs'))) {
      const text = readFileSync(join(journey.home, 'logs', name), 'utf8');
      for (const secret of secrets) expect(text.includes(secret), `${name} holds a secret`).toBe(false);
    }
  });
});

describe.runIf(findPrometheus())('Prometheus', () => {
  beforeAll(async () => {
    const { ports } = JSON.parse(readFileSync(join(journey.home, 'installation.json'), 'utf8'));
    await prometheus.start({
      'octavia-api-gateway': `127.0.0.1:${ports.apiGatewayMetrics}`,
      'octavia-worker': `127.0.0.1:${ports.workerMetrics}`,
      'octavia-health': `127.0.0.1:${ports.healthMetrics}`,
      'octavia-heartbeat-udp': `127.0.0.1:${ports.heartbeatUdpMetrics}`,
      'octavia-housekeeping': `127.0.0.1:${ports.housekeepingMetrics}`,
    });
  });

  it('scrapes all five services', async () => {
    const jobs = async () => (await prometheus.query('up == 1')).map(({ metric }) => metric.job).sort();
    await journey.until('all are up', async () => (await jobs()).length === SERVICES.length);
    expect(await jobs()).toEqual(SERVICES.map((name) => `octavia-${name}`).sort());
  });

  it('finds calls, flows, heartbeats, amphorae, spares, breakers and the processes', async () => {
    const value = async (expr: string) => (await prometheus.query(expr))[0]?.value ?? Number.NaN;
    for (const service of SERVICES) {
      expect(await value(`sum(rpc_server_call_duration_count{job="octavia-${service}"})`)).toBeGreaterThan(0);
      expect(await value(`process_memory_usage{job="octavia-${service}"}`)).toBeGreaterThan(30_000_000);
      expect(await value(`nodejs_eventloop_delay_p99{job="octavia-${service}"}`)).toBeGreaterThanOrEqual(0);
      const expiry = `octavia_certificate_remaining{job="octavia-${service}",octavia_certificate_kind="service"}`;
      expect(await value(expiry)).toBeGreaterThan(86_400);
    }
    const ended =
      'octavia_flow_duration_count{octavia_flow_name="load_balancer.create",octavia_flow_state="SUCCEEDED"}';
    expect(await value(ended)).toBe(1);
    expect(
      await value('octavia_flow_count{octavia_flow_name="load_balancer.delete",octavia_flow_state="QUEUED"}'),
    ).toBe(0);
    expect(await value('max(octavia_flow_age)')).toBeLessThan(60);
    expect(await value('sum(octavia_heartbeat_packets_total{octavia_heartbeat_outcome="accepted"})')).toBeGreaterThan(
      0,
    );
    expect(await value('octavia_heartbeat_packets_total{octavia_heartbeat_outcome="bad_hmac"}')).toBe(0);
    expect(await value('octavia_amphora_liveness{octavia_amphora_liveness="alive"}')).toBeGreaterThan(0);
    expect(await value('octavia_amphora_count{octavia_amphora_status="ALLOCATED"}')).toBe(1);
    expect(await value('octavia_spare_wanted')).toBe(1);
    const open = 'octavia_driver_breaker_count{octavia_driver_kind="amphora",octavia_driver_breaker_state="open"}';
    expect(await value(open)).toBe(0);
    expect(await value('sum(octavia_failover_started_total)')).toBe(0);
  });

  it('knows every metric and every label that a dashboard or an alarm names', async () => {
    const [metrics, labels] = [new Set(await prometheus.metrics()), new Set(await prometheus.labels())];
    const unknown = allQueries().flatMap(({ where, expr }) => [
      ...metricsOf(expr).flatMap((name) => (metrics.has(name) ? [] : [`${where}: metric ${name}`])),
      ...labelsOf(expr).flatMap((name) => (labels.has(name) ? [] : [`${where}: label ${name}`])),
    ]);
    expect(unknown).toEqual([]);
  });

  it('takes every expression of the dashboards', async () => {
    for (const { expr } of allQueries()) await prometheus.query(expr.replaceAll('$__rate_interval', '1m'));
  });

  it('has no alarm for a system that is well', async () => {
    await journey.until('all rules were evaluated and none is about to fire', async () => {
      const { good, faults } = await prometheus.rules();
      expect(faults).toEqual([]);
      return good > 10 && (await prometheus.alerts()).length === 0;
    });
  });

  it('shows ids nowhere', async () => {
    const everything = JSON.stringify(
      await prometheus.query('{__name__=~"octavia_.+|rpc_.+|process_.+|http_.+|db_.+"}'),
    );
    for (const id of [loadBalancerId, listenerId, poolId]) expect(everything).not.toContain(id);
    expect(everything).not.toMatch(/127\.2\d\d\.\d+\.\d+/);
  });
});
