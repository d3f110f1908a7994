import type { StatusReport } from './heartbeat.ts';

/** 64 bits in two halves: a BigInt for each heartbeat would cost more than the hash. */
export interface StatusHash {
  /** Signed 32 bits each. */
  readonly high: number;
  readonly low: number;
}

// Odd 32-bit constants that spread bits well under multiplication. Source: Knuth's 2^32 / phi, and primes of MurmurHash3.
const HIGH = 0x9e3779b1;
const LOW = 0x85ebca6b;
const LISTENER = 1;
const POOL = 2;
const MEMBER = 3;

/**
 * Hash of a status part; the order of its keys does not count. It is compared between processes of different releases, to
 * know whether the whole must be sent: never change it without a new field of the contract. It is no defence against
 * forgery, which the HMAC of the datagram is.
 */
export function statusHash(report: StatusReport): StatusHash {
  const hasher = new StatusHasher();
  for (const id in report.listeners) {
    hasher.beginListener();
    hasher.text(id);
    hasher.text(report.listeners[id] ?? '');
    hasher.add();
  }
  for (const id in report.pools) {
    const pool = report.pools[id];
    if (!pool) continue;
    hasher.beginPool();
    hasher.text(id);
    hasher.keepPool();
    hasher.text(pool.status);
    hasher.add();
    for (const member in pool.members) {
      hasher.beginMember();
      hasher.text(member);
      hasher.text(pool.members[member] ?? '');
      hasher.add();
    }
  }
  return hasher.hash();
}

/** As the contract's fixed64. */
export function statusHashBits({ high, low }: StatusHash): bigint {
  return (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
}

/** Makes the same hash piece by piece, for who reads a status part without making objects of it. */
export class StatusHasher {
  #high = 0;
  #low = 0;
  #poolHigh = 0;
  #poolLow = 0;
  // Not 0, which is what an unset field of the contract says: an amphora that serves nothing has a hash as well.
  #sumHigh = HIGH | 0;
  #sumLow = LOW | 0;

  /** Then the texts of its id and its status, then `add`. */
  beginListener(): void {
    this.#high = LISTENER;
    this.#low = LISTENER;
  }

  /** Then the text of its id, `keepPool`, the text of its status, `add`. */
  beginPool(): void {
    this.#high = POOL;
    this.#low = POOL;
  }

  keepPool(): void {
    this.#poolHigh = this.#high;
    this.#poolLow = this.#low;
  }

  /** Goes back to `keepPool`, when the status comes after the members. Then its text, and `add`. */
  backToPool(): void {
    this.#high = this.#poolHigh;
    this.#low = this.#poolLow;
  }

  /** Of the pool that was kept. Then the texts of its id and its status, then `add`. */
  beginMember(): void {
    this.#high = this.#poolHigh ^ MEMBER;
    this.#low = this.#poolLow;
  }

  text(text: string): void {
    let high = this.#high;
    let low = this.#low;
    for (let i = 0; i < text.length; i++) {
      const unit = text.charCodeAt(i);
      high = Math.imul(high ^ unit, HIGH);
      low = Math.imul(low ^ unit, LOW);
      // High bits come back down, so that every later unit meets them.
      high ^= high >>> 15;
      low ^= low >>> 13;
    }
    this.#endText(high, low, text.length);
  }

  /** The text that these bytes, all below 128, are. */
  ascii(bytes: Uint8Array, from: number, to: number): void {
    let high = this.#high;
    let low = this.#low;
    for (let i = from; i < to; i++) {
      const unit = bytes[i] ?? 0;
      high = Math.imul(high ^ unit, HIGH);
      low = Math.imul(low ^ unit, LOW);
      high ^= high >>> 15;
      low ^= low >>> 13;
    }
    this.#endText(high, low, to - from);
  }

  /** Adds the entry to the sums: addition does not know an order. */
  add(): void {
    let high = Math.imul(this.#high ^ (this.#low >>> 16), LOW);
    let low = Math.imul(this.#low ^ (this.#high >>> 16), HIGH);
    high ^= high >>> 13;
    low ^= low >>> 16;
    this.#sumHigh = (this.#sumHigh + high) | 0;
    this.#sumLow = (this.#sumLow + low) | 0;
  }

  /** Of all entries since the start, or since the last call. */
  hash(): StatusHash {
    const hash = { high: this.#sumHigh, low: this.#sumLow };
    this.#sumHigh = HIGH | 0;
    this.#sumLow = LOW | 0;
    return hash;
  }

  /** Forgets what was added since the last hash. */
  reset(): void {
    this.#sumHigh = HIGH | 0;
    this.#sumLow = LOW | 0;
  }

  /** The length ends the text: 'ab' + 'c' is not 'a' + 'bc'. */
  #endText(high: number, low: number, length: number): void {
    this.#high = Math.imul(high ^ length, LOW);
    this.#low = Math.imul(low ^ length, HIGH);
  }
}
