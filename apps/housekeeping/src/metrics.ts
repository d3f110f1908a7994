import { amphoraCensus, Orphans, type Tx } from '@octavia/db';
import type { AmphoraStatus } from '@octavia/domain';
import { ATTR, METRIC, meter } from '@octavia/service';

/** Statuses that are shown also when no amphora has them. */
const STATUSES: readonly AmphoraStatus[] = ['BOOTING', 'READY', 'ALLOCATED', 'PENDING_DELETE', 'ERROR', 'PRESERVED'];

/** Kinds of orphans that are shown also when there is none; drivers may know more. */
const ORPHAN_KINDS: readonly string[] = ['instance', 'vip', 'port', 'secret'];

/** What housekeeping counts and measures. Make it after telemetry is loaded. */
export class HousekeepingMetrics {
  readonly purged = meter().createCounter(METRIC.HOUSEKEEPING_PURGED, {
    unit: '{row}',
    description: 'Rows removed for their age',
  });
  readonly resettled = meter().createCounter(METRIC.HOUSEKEEPING_RESETTLED, {
    unit: '{load_balancer}',
    description: 'Load balancers that were pending without a flow: a bug of ours',
  });

  constructor() {
    // From the start, so that the first increase is one.
    this.resettled.add(0);
    this.purged.add(0, { [ATTR.TABLE]: 'flow' });
  }

  /** Shows the amphorae, looked at anew for each scrape: whichever process has the duty, all say the same. */
  watch(reader: () => Tx, spares: { wanted: number; ready: (tx: Tx) => Promise<number> }): void {
    const gauge = (name: string, unit: string, description: string) =>
      meter().createObservableGauge(name, { unit, description });
    const ready = gauge(METRIC.SPARE_COUNT, '{amphora}', 'Spare amphorae that are ready');
    const wanted = gauge(METRIC.SPARE_WANTED, '{amphora}', 'Spare amphorae that there should be');
    const amphorae = gauge(METRIC.AMPHORA_COUNT, '{amphora}', 'Amphorae by status');
    const orphans = gauge(METRIC.ORPHAN_COUNT, '{orphan}', 'What the newest search found that belongs to nobody');
    const certificates = gauge(METRIC.CERTIFICATE_REMAINING, 's', 'Time until a certificate runs out');
    meter().addBatchObservableCallback(
      async (result) => {
        const tx = reader();
        result.observe(wanted, spares.wanted);
        result.observe(ready, await spares.ready(tx));
        const { byStatus, certificateSeconds } = await amphoraCensus(tx);
        for (const status of STATUSES) {
          const count = byStatus.find((one) => one.status === status)?.count ?? 0;
          result.observe(amphorae, count, { [ATTR.AMPHORA_STATUS]: status });
        }
        const found = new Map(ORPHAN_KINDS.map((kind) => [kind, 0]));
        for (const { kind, count } of await new Orphans().counts(tx)) found.set(kind, count);
        for (const [kind, count] of found) result.observe(orphans, count, { [ATTR.ORPHAN_KIND]: kind });
        if (certificateSeconds !== null) {
          result.observe(certificates, certificateSeconds, { [ATTR.CERTIFICATE_KIND]: 'amphora' });
        }
      },
      [ready, wanted, amphorae, certificates, orphans],
    );
  }
}
