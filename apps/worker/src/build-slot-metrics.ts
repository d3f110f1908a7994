import { BuildSlots, type Database } from '@octavia/db';
import { ATTR, METRIC, meter, type Part } from '@octavia/service';

/** Shows how many build slots are in use and wanted, over all workers. @param limit null: there is none, and nothing to show */
export function buildSlotsPart(db: Database, limit: number | null): Part {
  let isRunning = false;
  return {
    name: 'build slots',
    start: async () => {
      isRunning = true;
      if (limit !== null) watch(db, limit, () => isRunning);
    },
    stop: async () => {
      isRunning = false;
    },
  };
}

function watch(db: Database, limit: number, isRunning: () => boolean): void {
  const slots = new BuildSlots();
  const gauge = (name: string, description: string) =>
    meter().createObservableGauge(name, { unit: '{slot}', description });
  const count = gauge(METRIC.BUILD_SLOT_COUNT, 'Build slots that are used, and wanted by those that wait');
  const most = gauge(METRIC.BUILD_SLOT_LIMIT, 'Builds that there may be at once');
  meter().addBatchObservableCallback(
    async (result) => {
      if (!isRunning()) return;
      const { used, waiting } = await slots.counts(db.reader);
      result.observe(most, limit);
      result.observe(count, used, { [ATTR.BUILD_SLOT_STATE]: 'used' });
      result.observe(count, waiting, { [ATTR.BUILD_SLOT_STATE]: 'waiting' });
    },
    [count, most],
  );
}
