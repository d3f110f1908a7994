import { ATTR, METRIC, meter } from '@octavia/service';
import type { AmphoraTable } from './amphora-table.ts';
import type { Clock } from './clock.ts';

export type Outcome = 'fresh' | 'late' | 'replayed' | 'unknown' | 'not_owned';

/** Why an amphora is replaced. */
export const CAUSES = ['heartbeat_lost', 'never_heard', 'listener_mismatch'] as const;

/** What this process counts and measures. Make it after telemetry is loaded. */
export class HealthMetrics {
  readonly batches = meter().createCounter(METRIC.HEARTBEAT_BATCHES, {
    unit: '{batch}',
    description: 'Batches of heartbeats',
  });
  readonly failovers = meter().createCounter(METRIC.FAILOVERS, {
    unit: '{failover}',
    description: 'Failovers started, by cause',
  });
  readonly scanSeconds = meter().createHistogram(METRIC.HEALTH_SCAN_DURATION, {
    unit: 's',
    description: 'One search for silent amphorae',
  });
  readonly #packets = meter().createCounter(METRIC.HEARTBEAT_PACKETS, {
    unit: '{packet}',
    description: 'Heartbeats by what became of them',
  });

  constructor() {
    // From the start, so that the first increase is one.
    for (const cause of CAUSES) this.failovers.add(0, { [ATTR.REASON]: cause });
    this.batches.add(0);
  }

  packet(outcome: Outcome, count: number): void {
    this.#packets.add(count, { [ATTR.HEARTBEAT_OUTCOME]: outcome });
  }

  /** Shows how many amphorae are alive, silent, or were never heard. */
  watch(table: AmphoraTable, clock: Clock): void {
    meter()
      .createObservableGauge(METRIC.AMPHORA_LIVENESS, {
        unit: '{amphora}',
        description: 'Amphorae of our shards by liveness',
      })
      .addCallback((result) => {
        for (const [liveness, count] of Object.entries(table.counts(clock()))) {
          result.observe(count, { [ATTR.LIVENESS]: liveness });
        }
      });
  }

  /** Shows how many silent amphorae are not replaced because nothing confirms that they are isolated. */
  watchUnconfirmed(count: () => number): void {
    meter()
      .createObservableGauge(METRIC.FAILOVERS_UNCONFIRMED, {
        unit: '{amphora}',
        description: 'Silent amphorae that are not replaced before somebody confirms that they are isolated',
      })
      .addCallback((result) => result.observe(count()));
  }
}
