/** A bell that is heard also when it rang before anyone listened. */
export class WakeUp {
  readonly #signal: AbortSignal;
  #bell = Promise.withResolvers<void>();

  constructor(signal: AbortSignal) {
    this.#signal = signal;
  }

  reset(): void {
    this.#bell = Promise.withResolvers();
  }

  ring(): void {
    this.#bell.resolve();
  }

  /** Until it rings, the call ends or the time is over. */
  async wait(ms: number): Promise<void> {
    const ring = (): void => this.ring();
    const timer = setTimeout(ring, ms);
    this.#signal.addEventListener('abort', ring, { once: true });
    if (this.#signal.aborted) ring();
    await this.#bell.promise;
    clearTimeout(timer);
    this.#signal.removeEventListener('abort', ring);
  }
}
