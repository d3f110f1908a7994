import { ATTR, type Logger, METRIC, meter, type Part } from '@octavia/service';
import { OUTCOMES, type OutcomeCounts } from './outcomes.ts';
import type { Router, RouterObserver } from './router.ts';

/** How often dropped datagrams are told in the log, in milliseconds: a flood must not become a flood of lines. */
const TELL_MS = 10_000;

/** Shows the counts of datagrams as metrics, and new drops in the log. */
export class DropWatch implements Part {
  readonly name = 'drop watch';
  readonly #counts: OutcomeCounts;
  readonly #router: Router;
  readonly #log: Logger;
  #told = '{}';
  #timer: NodeJS.Timeout | undefined;

  constructor(counts: OutcomeCounts, router: Router, log: Logger) {
    this.#counts = counts;
    this.#router = router;
    this.#log = log;
  }

  async start(): Promise<void> {
    const packets = meter().createObservableCounter(METRIC.HEARTBEAT_PACKETS, {
      unit: '{packet}',
      description: 'Datagrams by what became of them',
    });
    packets.addCallback((result) => {
      for (const outcome of OUTCOMES) {
        result.observe(this.#counts.get(outcome), { [ATTR.HEARTBEAT_OUTCOME]: outcome });
      }
    });
    const waiting = meter().createObservableGauge(METRIC.HEARTBEAT_WAITING, {
      unit: '{amphora}',
      description: 'Amphorae whose heartbeats wait for an owner',
    });
    waiting.addCallback((result) => result.observe(this.#router.waiting));
    this.#timer = setInterval(() => this.#tell(), TELL_MS);
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#tell();
  }

  #tell(): void {
    const dropped = this.#counts.dropped();
    const text = JSON.stringify(dropped);
    if (text === this.#told) return;
    this.#told = text;
    this.#log.warn({ dropped }, 'heartbeats were dropped');
  }
}

/**
 * Counts batches by what became of them, and logs where somebody may want to look.
 * @param onSilentOwner called for each failed try
 */
export function batchObserver(log: Logger, onSilentOwner: () => void): RouterObserver {
  const batches = meter().createCounter(METRIC.HEARTBEAT_BATCHES, {
    unit: '{batch}',
    description: 'Batches sent to owners',
  });
  const failing = new Set<string>();
  return {
    onBatch(outcome, owner, error) {
      batches.add(1, { [ATTR.HEARTBEAT_OUTCOME]: outcome });
      if (outcome === 'refused') log.error({ err: error, owner }, 'a batch of heartbeats was refused and is dropped');
      else if (outcome === 'abandoned') log.warn({ owner }, 'an owner has gone, its last batch goes to the next one');
      else if (outcome === 'retried' && !failing.has(owner))
        log.warn({ err: error, owner }, 'a batch failed, trying again');
      if (outcome === 'retried') {
        failing.add(owner);
        onSilentOwner();
      } else {
        failing.delete(owner);
      }
    },
  };
}
