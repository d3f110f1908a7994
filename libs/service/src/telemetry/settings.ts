import { hostPort } from '../settings/fields.ts';

/** Settings of telemetry beside the standard OTEL_* variables. */
export const telemetrySettings = {
  metricsBind: hostPort('METRICS_BIND', {
    optional: true,
    doc: 'Where Prometheus may scrape /metrics, without TLS: bind a loopback or a private address.',
  }),
} as const;
