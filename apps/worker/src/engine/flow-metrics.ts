import type { ClaimedFlow, FlowCount, FlowRecord } from '@octavia/db';
import type { Fault } from '@octavia/domain';
import { ATTR, contextFrom, errorType, METRIC, meter, tracer } from '@octavia/service';
import type { Attributes, Counter, Histogram } from '@opentelemetry/api';

/** Bounds of the buckets, in seconds: from the noop drivers' milliseconds to the deadline of a minute. */
const BOUNDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120];

/** Attributes of a flow on spans and logs. */
export function flowAttributes(flow: FlowRecord): Record<string, string> {
  return {
    [ATTR.FLOW_ID]: flow.id,
    [ATTR.FLOW_NAME]: flow.name,
    ...(flow.loadBalancerId === null ? {} : { [ATTR.LOAD_BALANCER_ID]: flow.loadBalancerId }),
    ...(flow.amphoraId === null ? {} : { [ATTR.AMPHORA_ID]: flow.amphoraId }),
  };
}

/** Attributes of a try of a step. */
export function stepAttributes(flow: FlowRecord, step: string, attempt: number): Record<string, string | number> {
  return { ...flowAttributes(flow), [ATTR.STEP_NAME]: step, [ATTR.FLOW_ATTEMPT]: attempt };
}

/** The time in the queue as a span, so that a trace has no hole between the request and its flow. */
export function showWait({ flow, waitedMs }: ClaimedFlow, attributes: Record<string, string | number>): void {
  const now = Date.now();
  const options = { attributes, startTime: now - Math.max(0, waitedMs) };
  tracer().startSpan(`queue ${flow.name}`, options, contextFrom(flow.traceContext)).end(now);
}

/** Measures flows and steps. Ids stay out: every attribute has few values. */
export class FlowMetrics {
  readonly #duration: Histogram;
  readonly #wait: Histogram;
  readonly #step: Histogram;
  readonly #settleFailures: Counter;

  constructor() {
    const advice = { explicitBucketBoundaries: BOUNDS };
    const histogram = (name: string, description: string): Histogram =>
      meter().createHistogram(name, { unit: 's', description, advice });
    this.#duration = histogram(METRIC.FLOW_DURATION, 'From the request to the settled status');
    this.#wait = histogram(METRIC.FLOW_WAIT, 'From the time of a flow to its start');
    this.#step = histogram(METRIC.STEP_DURATION, 'Duration of one try of a step');
    this.#settleFailures = meter().createCounter(METRIC.SETTLE_FAILURES, {
      unit: '{try}',
      description: 'Tries to settle a flow that threw: a bug of ours',
    });
  }

  /** @param times 0 shows the flow before anything went wrong, so that the first increase is one */
  settleFailed(flow: string, times = 1): void {
    this.#settleFailures.add(times, { [ATTR.FLOW_NAME]: flow });
  }

  claimed({ flow, waitedMs }: ClaimedFlow): void {
    this.#wait.record(waitedMs / 1000, { [ATTR.FLOW_NAME]: flow.name });
  }

  flowEnded({ flow, ageMs }: ClaimedFlow & { ranMs?: number }, outcome: string, fault: Fault | null): void {
    const attributes: Attributes = { [ATTR.FLOW_NAME]: flow.name, [ATTR.FLOW_STATE]: outcome };
    if (fault) attributes[ATTR.ERROR_TYPE] = fault.reason;
    this.#duration.record(ageMs / 1000, attributes);
  }

  stepEnded(flow: string, step: string, ms: number, error?: unknown): void {
    const attributes: Attributes = { [ATTR.FLOW_NAME]: flow, [ATTR.STEP_NAME]: step };
    if (error !== undefined) attributes[ATTR.ERROR_TYPE] = errorType(error);
    this.#step.record(ms / 1000, attributes);
  }
}

/** States of flows that are not ended. */
const OPEN_STATES = ['QUEUED', 'RUNNING'] as const;

/**
 * Shows how many flows are open, and how old the oldest of each is. What there is none of is shown as 0, so that an alarm can tell
 * "none" from "nobody looked". @param read looks; null: the process is about to end
 */
export function watchQueue(names: readonly string[], read: () => Promise<readonly FlowCount[] | null>): void {
  const count = meter().createObservableGauge(METRIC.FLOW_COUNT, { unit: '{flow}', description: 'Flows not ended' });
  const age = meter().createObservableGauge(METRIC.FLOW_AGE, { unit: 's', description: 'Age of the oldest open flow' });
  meter().addBatchObservableCallback(
    async (result) => {
      const open = await read();
      if (open === null) return;
      const known = new Set([...names, ...open.map(({ name }) => name)]);
      for (const name of known) {
        for (const state of OPEN_STATES) {
          const found = open.find((one) => one.name === name && one.state === state);
          const attributes = { [ATTR.FLOW_NAME]: name, [ATTR.FLOW_STATE]: state };
          result.observe(count, found?.count ?? 0, attributes);
          result.observe(age, found?.oldestSeconds ?? 0, attributes);
        }
      }
    },
    [count, age],
  );
}
