import type { Database, FlowQueue, Lease, StopReason } from '@octavia/db';

/** Renewals within one lease: three may fail before it runs out. */
const RENEWALS_PER_LEASE = 4;
/** A row that is locked just now, or a database that is away, is asked again after this, in milliseconds. */
const ASK_AGAIN_MS = 100;

interface Held {
  readonly lease: Lease;
  /** On our monotonic clock: after it another worker may have the flow. Counted from before the renewal was sent. */
  validUntil: number;
  readonly onLost: () => void;
  readonly onStop: (reason: StopReason) => void;
}

/**
 * Renews the leases of the flows that this process runs, on a timer and a database connection of its own, so that a busy pool
 * loses none. Tells a flow at once when its lease is gone, also when only our own clock says so.
 */
export class LeaseKeeper {
  readonly #db: Database;
  readonly #queue: FlowQueue;
  readonly #leaseMs: number;
  readonly #held = new Map<string, Held>();
  #timer: NodeJS.Timeout | undefined;
  #isRenewing = false;
  #isStopped = true;

  constructor(db: Database, queue: FlowQueue, leaseMs: number) {
    this.#db = db;
    this.#queue = queue;
    this.#leaseMs = leaseMs;
  }

  start(): void {
    this.#isStopped = false;
    this.#schedule(this.#intervalMs);
  }

  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
  }

  /** @param claimedAt `performance.now()` from before the claim was sent */
  hold(lease: Lease, claimedAt: number, onLost: () => void, onStop: (reason: StopReason) => void): void {
    // Taken over by this very process: whoever still runs it has lost it.
    this.#held.get(lease.flowId)?.onLost();
    this.#held.set(lease.flowId, { lease, validUntil: claimedAt + this.#leaseMs, onLost, onStop });
  }

  drop(lease: Lease): void {
    if (this.#held.get(lease.flowId)?.lease.epoch === lease.epoch) this.#held.delete(lease.flowId);
  }

  isHeld(lease: Lease): boolean {
    const held = this.#held.get(lease.flowId);
    return held?.lease.epoch === lease.epoch && performance.now() < held.validUntil;
  }

  /** A flow of ours may be asked to stop: look now. */
  look(flowId: string | null): void {
    if (flowId === null || this.#held.has(flowId)) this.#schedule(0);
  }

  get #intervalMs(): number {
    return this.#leaseMs / RENEWALS_PER_LEASE;
  }

  #schedule(ms: number): void {
    if (this.#isStopped) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#renew(), ms);
  }

  async #renew(): Promise<void> {
    this.#giveUpExpired();
    if (this.#isRenewing) return this.#schedule(ASK_AGAIN_MS);
    this.#isRenewing = true;
    let again = this.#intervalMs;
    try {
      const sentAt = performance.now();
      const asked = [...this.#held.values()];
      const renewals = await this.#queue.renew(
        this.#db.reader,
        asked.map(({ lease }) => lease),
        this.#leaseMs,
      );
      const byFlow = new Map(renewals.map((renewal) => [renewal.flowId, renewal]));
      for (const held of asked) {
        const renewal = byFlow.get(held.lease.flowId);
        if (renewal?.outcome === 'KEPT') held.validUntil = sentAt + this.#leaseMs;
        if (renewal?.outcome === 'LOST') this.#lose(held);
        else if (renewal?.stopRequested) held.onStop(renewal.stopRequested);
      }
      if (renewals.some(({ outcome }) => outcome === 'BUSY')) again = Math.min(again, ASK_AGAIN_MS);
    } catch {
      // The database is away. Leases that run out meanwhile are given up by our own clock.
      again = Math.min(again, ASK_AGAIN_MS);
    } finally {
      this.#isRenewing = false;
      this.#schedule(again);
    }
  }

  #giveUpExpired(): void {
    const now = performance.now();
    for (const held of this.#held.values()) if (now >= held.validUntil) this.#lose(held);
  }

  #lose(held: Held): void {
    // It may have been claimed again by this very process meanwhile: that lease is another one.
    if (this.#held.get(held.lease.flowId) === held) this.#held.delete(held.lease.flowId);
    held.onLost();
  }
}
