/**
 * Starts telemetry; load it before everything else: `node --import @octavia/service/telemetry dist/main.js`.
 *
 * Without any setting: trace ids in logs, errors and between services, and nothing is recorded or sent.
 * OTEL_EXPORTER_OTLP_ENDPOINT (or OTEL_TRACES_EXPORTER and the other standard variables): traces, metrics and logs
 * are sent. METRICS_BIND=host:port: Prometheus may scrape /metrics there. OTEL_SDK_DISABLED=true: nothing at all.
 */
import { startTelemetry } from './start.ts';

await startTelemetry(process.env);
