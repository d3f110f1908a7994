import type { Opener } from './opener.ts';
import type { OutcomeCounts } from './outcomes.ts';
import type { Router } from './router.ts';

/** The way of one datagram, from the socket to what waits for its owner. */
export class Intake {
  readonly #opener: Opener;
  readonly #router: Router;
  readonly #counts: OutcomeCounts;

  constructor(opener: Opener, router: Router, counts: OutcomeCounts) {
    this.#opener = opener;
    this.#router = router;
    this.#counts = counts;
  }

  /** Never throws for what is in a datagram. */
  receive(datagram: Buffer): void {
    const message = this.#opener.open(datagram);
    this.#counts.add(typeof message === 'string' ? message : this.#router.add(message));
  }
}
