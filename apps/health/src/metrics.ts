import { ATTR, METRIC, meter } from '@octavia/service';
import type { AmphoraTable } from './amphora-table.ts';
import type { Clock } from './clock.ts';

export type Outcome = 'fresh' | 'late' | 'replayed' | 'unknown' | 'not_owned';

/** What this process counts and measures. Make it after telemetry is loaded. */
export class HealthMetrics {
  readonly batches = meter().createCounter(METRIC.HEARTBEAT_BATCHES, { unit: '{batch}' });
  readonly failovers = meter().createCounter(METRIC.FAILOVERS, { unit: '{failover}' });
  readonly scanSeconds = meter().createHistogram(METRIC.HEALTH_SCAN_DURATION, { unit: 's' });
  readonly #packets = meter().createCounter(METRIC.HEARTBEAT_PACKETS, { unit: '{packet}' });

  packet(outcome: Outcome, count: number): void {
    this.#packets.add(count, { [ATTR.HEARTBEAT_OUTCOME]: outcome });
  }

  /** Shows how many amphorae are alive, silent, or were never heard. */
  watch(table: AmphoraTable, clock: Clock): void {
    meter()
      .createObservableGauge(METRIC.AMPHORA_LIVENESS, { unit: '{amphora}' })
      .addCallback((result) => {
        for (const [liveness, count] of Object.entries(table.counts(clock()))) {
          result.observe(count, { [ATTR.LIVENESS]: liveness });
        }
      });
  }
}
