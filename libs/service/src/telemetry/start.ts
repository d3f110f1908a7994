import { readFileSync } from 'node:fs';
import { register } from 'node:module';
import { dirname, join } from 'node:path';
import { type Attributes, context, type DiagLogger, DiagLogLevel, diag, metrics } from '@opentelemetry/api';
import { isTracingSuppressed } from '@opentelemetry/core';
import type { Logger } from '../process/logger.ts';
import { formatHostPort, type HostPort } from '../settings/fields.ts';
import { settings } from '../settings/settings.ts';
import { onFlush } from './flush.ts';
import { ATTR } from './names.ts';
import { watchProcess } from './process-metrics.ts';
import { telemetrySettings } from './settings.ts';
import { AlwaysOffSampler, installTracing } from './tracing.ts';

// The logger is imported late: pino must not load before the hook that lets it be patched.
const telemetryLog = async () => (await import('../process/logger.ts')).logger('telemetry');

type Env = NodeJS.ProcessEnv;
type Signal = 'TRACES' | 'METRICS' | 'LOGS';

/** Starts what the environment asks for; see register.ts. Heavy parts are loaded only when they are asked for. */
export async function startTelemetry(env: Env): Promise<void> {
  if (env.OTEL_SDK_DISABLED?.toLowerCase() === 'true') return;
  const { metricsBind } = settings(telemetrySettings)(env);
  const exporters = { TRACES: asked(env, 'TRACES'), METRICS: asked(env, 'METRICS'), LOGS: asked(env, 'LOGS') };
  const flushes: (() => Promise<unknown>)[] = [];
  if (Object.values(exporters).some((exporter) => exporter !== 'none')) {
    flushes.push(await startSdk(env, exporters, metricsBind));
  } else if (metricsBind) {
    flushes.push(await startPrometheus(env, metricsBind));
  }
  if (metricsBind || exporters.METRICS !== 'none') watchProcess();
  // Where traces are not sent they still have ids, for logs, errors and the services behind.
  if (exporters.TRACES === 'none') installTracing({ sampler: new AlwaysOffSampler() });
  if (flushes.length > 0) onFlush(async () => void (await Promise.all(flushes.map((flush) => flush()))));
}

/** The exporter that the standard variables ask for, `none` when they ask for nothing. */
function asked(env: Env, signal: Signal): string {
  const named = env[`OTEL_${signal}_EXPORTER`];
  if (named) return named;
  const isEndpointSet = env.OTEL_EXPORTER_OTLP_ENDPOINT || env[`OTEL_EXPORTER_OTLP_${signal}_ENDPOINT`];
  return isEndpointSet ? 'otlp' : 'none';
}

/** The whole SDK, with its exporters and instrumentations. */
async function startSdk(
  env: Env,
  exporters: Record<Signal, string>,
  metricsBind: HostPort | undefined,
): Promise<() => Promise<void>> {
  // First of all, or modules loaded from here on are not patched and yield no spans.
  register('@opentelemetry/instrumentation/hook.mjs', import.meta.url);
  for (const signal of ['TRACES', 'METRICS', 'LOGS'] as const) env[`OTEL_${signal}_EXPORTER`] = exporters[signal];
  if (metricsBind) {
    const others = exporters.METRICS === 'none' ? '' : `${exporters.METRICS},`;
    env.OTEL_METRICS_EXPORTER = `${others}prometheus`;
    env.OTEL_EXPORTER_PROMETHEUS_HOST = metricsBind.host;
    env.OTEL_EXPORTER_PROMETHEUS_PORT = String(metricsBind.port);
  }
  const [{ startNodeSdk }, { PgInstrumentation }, { UndiciInstrumentation }, { PinoInstrumentation }] =
    await Promise.all([
      import('@opentelemetry/sdk-node'),
      import('@opentelemetry/instrumentation-pg'),
      import('@opentelemetry/instrumentation-undici'),
      import('@opentelemetry/instrumentation-pino'),
    ]);
  const sdk = startNodeSdk({
    resourceAttributes: resourceOf(env),
    instrumentations: [
      // Polls of the queue belong to no request and would drown the rest.
      new PgInstrumentation({ requireParentSpan: true, ignoreConnectSpans: true }),
      // Who makes spans himself suppresses these; without this their addresses would still be on a metric, one for each amphora.
      new UndiciInstrumentation({
        requireParentforSpans: true,
        ignoreRequestHook: () => isTracingSuppressed(context.active()),
      }),
      // Our logger writes the ids itself; this one only hands the lines to the exporter.
      new PinoInstrumentation({ disableLogCorrelation: true, disableLogSending: exporters.LOGS === 'none' }),
    ],
  });
  diag.setLogger(diagToLog(await telemetryLog()), { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true });
  return () => sdk.shutdown();
}

/** Metrics for Prometheus alone: a small part of the SDK. */
async function startPrometheus(env: Env, bind: HostPort): Promise<() => Promise<void>> {
  const [{ PrometheusExporter }, { MeterProvider }, { resourceFromAttributes }] = await Promise.all([
    import('@opentelemetry/exporter-prometheus'),
    import('@opentelemetry/sdk-metrics'),
    import('@opentelemetry/resources'),
  ]);
  const log = await telemetryLog();
  const exporter = new PrometheusExporter({ ...bind, withoutScopeInfo: true }, (error) => {
    // Metrics must not keep a service from serving.
    if (error) log.error({ err: error, address: formatHostPort(bind) }, 'metrics cannot be served');
  });
  const provider = new MeterProvider({ resource: resourceFromAttributes(resourceOf(env)), readers: [exporter] });
  metrics.setGlobalMeterProvider(provider);
  return () => provider.shutdown();
}

/** Who sends: the app's name and version from its package, unless OTEL_SERVICE_NAME names it otherwise. */
function resourceOf(env: Env): Attributes {
  const app = appOf(process.argv[1]);
  return {
    'service.name': env.OTEL_SERVICE_NAME || app.name,
    'service.version': app.version,
    ...(env.OCTAVIA_INSTALLATION_ID ? { [ATTR.INSTALLATION_ID]: env.OCTAVIA_INSTALLATION_ID } : {}),
  };
}

/** Name and version of the package that the main module belongs to. */
function appOf(main: string | undefined): { name: string; version: string } {
  for (let folder = dirname(main ?? ''); main && folder !== dirname(folder); folder = dirname(folder)) {
    try {
      const { name, version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
      return { name: String(name).replace(/^@octavia\//, 'octavia-'), version: String(version) };
    } catch {
      // No package here: look in the folder above.
    }
  }
  return { name: 'octavia', version: 'unknown' };
}

/** OpenTelemetry's own complaints, such as a collector that is away, as lines of our log. */
function diagToLog(log: Logger): DiagLogger {
  const write =
    (level: 'error' | 'warn' | 'info' | 'debug') =>
    (message: string, ...rest: unknown[]) => {
      log[level](
        { detail: message.slice(0, 1000), ...(rest.length > 0 ? { more: String(rest[0]).slice(0, 1000) } : {}) },
        'OpenTelemetry',
      );
    };
  return {
    error: write('error'),
    warn: write('warn'),
    info: write('info'),
    debug: write('debug'),
    verbose: write('debug'),
  };
}
