type Flush = () => Promise<void>;

/** How long the last spans and metrics may take to leave, in milliseconds. */
const FLUSH_MS = 1_500;

/** On `globalThis`: telemetry is loaded by `--import`, maybe from another copy of this file than the service's. */
const KEY = Symbol.for('octavia.telemetry.flush');

type Holder = { [KEY]?: Flush };

/** Says how to send what is not sent yet, when the process ends. */
export function onFlush(flush: Flush): void {
  (globalThis as Holder)[KEY] = flush;
}

/** Sends what is not sent yet, and gives up after a moment: a collector that is away must not hold the process. */
export async function flushTelemetry(): Promise<void> {
  const flush = (globalThis as Holder)[KEY];
  if (!flush) return;
  const limit = new Promise<void>((resolve) => setTimeout(resolve, FLUSH_MS).unref());
  await Promise.race([flush().catch(() => {}), limit]);
}
