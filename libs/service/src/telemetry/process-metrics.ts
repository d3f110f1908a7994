import { type EventLoopUtilization, monitorEventLoopDelay, performance } from 'node:perf_hooks';
import { metrics } from '@opentelemetry/api';
import { ATTR, METRIC } from './names.ts';

/** How often the event loop is asked how late it is, in milliseconds: lags of this length and more are seen. */
const RESOLUTION_MS = 20;
const NS_PER_S = 1e9;
const US_PER_S = 1e6;

/** Shows memory, processor time and the lag of the event loop of this process. Make it once, after the meter provider. */
export function watchProcess(): void {
  const meter = metrics.getMeter('octavia');
  const gauge = (name: string, unit: string, description: string) =>
    meter.createObservableGauge(name, { unit, description });

  gauge(METRIC.PROCESS_MEMORY, 'By', 'Memory of the process that is in RAM').addCallback((result) =>
    result.observe(process.memoryUsage.rss()),
  );
  gauge(METRIC.PROCESS_UPTIME, 's', 'Time since the start').addCallback((result) => result.observe(process.uptime()));
  meter
    .createObservableCounter(METRIC.PROCESS_CPU, { unit: 's', description: 'Processor time' })
    .addCallback((result) => {
      const { user, system } = process.cpuUsage();
      result.observe(user / US_PER_S, { [ATTR.CPU_MODE]: 'user' });
      result.observe(system / US_PER_S, { [ATTR.CPU_MODE]: 'system' });
    });

  const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  delay.enable();
  gauge(METRIC.EVENT_LOOP_DELAY_P99, 's', 'How late timers were since the last look, 99th percentile').addCallback(
    (result) => {
      // It measures the time between two ticks, which is the resolution when nothing is late.
      result.observe(Math.max(0, delay.percentile(99) / NS_PER_S - RESOLUTION_MS / 1000));
      delay.reset();
    },
  );
  let last: EventLoopUtilization = performance.eventLoopUtilization();
  gauge(METRIC.EVENT_LOOP_UTILIZATION, '1', 'Share of the time in which the event loop was busy').addCallback(
    (result) => {
      const now = performance.eventLoopUtilization();
      result.observe(performance.eventLoopUtilization(now, last).utilization);
      last = now;
    },
  );
}
