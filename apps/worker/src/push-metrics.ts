import { ATTR, METRIC, meter } from '@octavia/service';
import type { Counter } from '@opentelemetry/api';

export interface PushMetrics {
  /** By outcome: passed or refused. */
  readonly checks: Counter;
  /** By reason. */
  readonly refused: Counter;
}

/** Counters of searches for refused changes. Asked for again, they go on. */
export function pushMetrics(): PushMetrics {
  const checks = meter().createCounter(METRIC.PUSH_CHECKS, {
    unit: '{check}',
    description: 'Configurations that amphorae were asked about to find refused changes',
  });
  const refused = meter().createCounter(METRIC.PUSH_REFUSED, {
    unit: '{change}',
    description: 'Changes that the data plane refused',
  });
  return { checks, refused };
}

/** Shows them before anything was refused, so that the first increase is one. */
export function showPushMetrics(): void {
  const { checks, refused } = pushMetrics();
  for (const outcome of ['passed', 'refused']) checks.add(0, { [ATTR.PUSH_CHECK_OUTCOME]: outcome });
  refused.add(0, { [ATTR.REASON]: 'CONFIGURATION_REFUSED' });
}
