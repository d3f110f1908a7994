import { createRequire } from 'node:module';

/** A span as the receiver got it. */
export interface Span {
  readonly traceId: string;
  readonly spanId: string;
  /** Absent on the first span of a trace. */
  readonly parentSpanId?: string;
  readonly name: string;
  /** Such as `SPAN_KIND_SERVER`. */
  readonly kind: string;
  readonly attributes?: Readonly<Record<string, unknown>>;
  readonly links?: readonly { readonly traceId: string; readonly spanId: string }[];
  readonly status?: { readonly code?: string };
  /** Who sent it. */
  readonly resource: Readonly<Record<string, unknown>>;
}

interface Batch {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: Readonly<Record<string, unknown>> };
    readonly scopeSpans: readonly { readonly spans: readonly Omit<Span, 'resource'>[] }[];
  }[];
}

interface Server {
  readonly httpUrl: URL;
  start(): Promise<void>;
  close(): Promise<void>;
}

interface Library {
  readonly MockOtlpServer: new (options: object) => Server;
  normalizeTrace(request: unknown): Batch;
}

const { MockOtlpServer, normalizeTrace }: Library = createRequire(import.meta.url)('@elastic/mockotlpserver');

/** Elastic's OTLP receiver, which decodes by the official protobuf definitions: none of it is ours. */
export class Receiver {
  readonly spans: Span[] = [];
  readonly #server = new MockOtlpServer({
    services: ['http'],
    httpHostname: '127.0.0.1',
    httpPort: 0,
    logLevel: 'error',
    onTrace: (request: unknown) => {
      for (const { resource, scopeSpans } of normalizeTrace(request).resourceSpans) {
        for (const { spans } of scopeSpans) {
          this.spans.push(...spans.map((span) => ({ ...span, resource: resource.attributes })));
        }
      }
    },
    onMetrics: () => {},
    onLogs: () => {},
  });

  async start(): Promise<void> {
    await this.#server.start();
  }

  stop(): Promise<void> {
    return this.#server.close();
  }

  /** For OTEL_EXPORTER_OTLP_ENDPOINT. */
  get endpoint(): string {
    return this.#server.httpUrl.origin;
  }

  /** Spans of one trace. */
  trace(traceId: string): Trace {
    return new Trace(this.spans.filter((span) => span.traceId === traceId));
  }
}

/** The spans of one trace as a tree. */
export class Trace {
  readonly spans: readonly Span[];

  constructor(spans: readonly Span[]) {
    this.spans = spans;
  }

  /** Spans of a service with that name, or whose name matches. */
  of(service: string, name: string | RegExp): Span[] {
    return this.spans.filter(
      (span) =>
        span.resource['service.name'] === service &&
        (typeof name === 'string' ? span.name === name : name.test(span.name)),
    );
  }

  /** The first span of a service with that name. @throws Error that lists what there is */
  one(service: string, name: string | RegExp): Span {
    const [span] = this.of(service, name);
    if (span) return span;
    const known = [...new Set(this.spans.map((one) => `${one.resource['service.name']}: ${one.name}`))];
    throw new Error(`No span ${name} of ${service}. There are:\n${known.join('\n')}`);
  }

  /** Spans right below another one. */
  below(parent: Span): Span[] {
    return this.spans.filter(({ parentSpanId }) => parentSpanId === parent.spanId);
  }

  /** Names from the first span down to this one. */
  path(span: Span): string[] {
    const parent = this.spans.find(({ spanId }) => spanId === span.parentSpanId);
    return [...(parent ? this.path(parent) : []), span.name];
  }

  /** Spans whose parent is of this trace and did not arrive. */
  orphans(roots: readonly string[]): Span[] {
    const ids = new Set([...this.spans.map(({ spanId }) => spanId), ...roots]);
    return this.spans.filter(({ parentSpanId }) => parentSpanId !== undefined && !ids.has(parentSpanId));
  }
}
