/** What became of a datagram. The words are attribute values of a metric: never rename them. */
export const OUTCOMES = [
  /** Opened, valid and taken up. */
  'accepted',
  /** Shorter than any trailer. */
  'too_short',
  /** Signed with none of our keys, or changed on the way. */
  'bad_hmac',
  /** Signed, but no zlib stream. */
  'bad_inflate',
  /** Inflates beyond the cap, is nested too deeply, or names more objects than a load balancer has. */
  'too_large',
  'bad_utf8',
  'bad_json',
  'not_object',
  /** A field is missing or not what it must be. */
  'bad_field',
  /** Its sender's counter was seen already. */
  'replayed',
  /** Was accepted, and dropped later: more amphorae wait for an owner than may. */
  'backlog_full',
] as const;
export type Outcome = (typeof OUTCOMES)[number];

/** Counts datagrams by outcome: plain numbers, because a metric's own call for each datagram costs as much as its HMAC. */
export class OutcomeCounts {
  readonly #counts: Record<Outcome, number>;

  constructor() {
    this.#counts = Object.fromEntries(OUTCOMES.map((outcome) => [outcome, 0])) as Record<Outcome, number>;
  }

  add(outcome: Outcome, datagrams = 1): void {
    this.#counts[outcome] += datagrams;
  }

  /** Since the start of the process. */
  get(outcome: Outcome): number {
    return this.#counts[outcome];
  }

  /** Those that occurred, and are no success. */
  dropped(): Partial<Record<Outcome, number>> {
    const entries = Object.entries(this.#counts).filter(([outcome, count]) => count > 0 && outcome !== 'accepted');
    return Object.fromEntries(entries);
  }
}
