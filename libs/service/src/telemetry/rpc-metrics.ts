import { status } from '@grpc/grpc-js';
import { type Attributes, type Histogram, metrics } from '@opentelemetry/api';
import { ATTR, METRIC } from './names.ts';

/** Bounds of the buckets, in seconds. Source: OpenTelemetry's semantic conventions for RPC. */
const BOUNDS = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

/** One call that has ended. */
export interface RpcCall {
  /** Such as `octavia.v1.LoadBalancerService/GetLoadBalancer`. */
  readonly full: string;
  readonly service: string;
  readonly code: status;
  readonly seconds: number;
}

/** Measures calls on one side. Ids stay out: every attribute has few values. */
export class RpcMetrics {
  readonly #histogram: Histogram;
  constructor(side: 'server' | 'client') {
    const name = side === 'server' ? METRIC.RPC_SERVER_DURATION : METRIC.RPC_CLIENT_DURATION;
    this.#histogram = metrics.getMeter('octavia').createHistogram(name, {
      unit: 's',
      description: `Duration of gRPC calls, ${side} side`,
      advice: { explicitBucketBoundaries: BOUNDS },
    });
  }

  record({ full, service, code, seconds }: RpcCall): void {
    const name = status[code] ?? String(code);
    const attributes: Attributes = {
      [ATTR.RPC_SYSTEM]: 'grpc',
      [ATTR.RPC_SERVICE]: service,
      [ATTR.RPC_METHOD]: full,
      [ATTR.RPC_STATUS]: name,
    };
    if (code !== status.OK) attributes[ATTR.ERROR_TYPE] = name;
    this.#histogram.record(seconds, attributes);
  }
}
