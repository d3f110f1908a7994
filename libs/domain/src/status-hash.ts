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
  const mixer = new Mixer();
  for (const id in report.listeners) {
    mixer.begin(LISTENER, LISTENER);
    mixer.text(id);
    mixer.text(report.listeners[id] ?? '');
    mixer.add();
  }
  for (const id in report.pools) {
    const pool = report.pools[id];
    if (!pool) continue;
    mixer.begin(POOL, POOL);
    mixer.text(id);
    const { high, low } = mixer;
    mixer.text(pool.status);
    mixer.add();
    for (const member in pool.members) {
      mixer.begin(high ^ MEMBER, low);
      mixer.text(member);
      mixer.text(pool.members[member] ?? '');
      mixer.add();
    }
  }
  return { high: mixer.sumHigh, low: mixer.sumLow };
}

/** As the contract's fixed64. */
export function statusHashBits({ high, low }: StatusHash): bigint {
  return (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
}

class Mixer {
  high = 0;
  low = 0;
  // Not 0, which is what an unset field of the contract says: an amphora that serves nothing has a hash as well.
  sumHigh = HIGH | 0;
  sumLow = LOW | 0;

  begin(high: number, low: number): void {
    this.high = high;
    this.low = low;
  }

  text(text: string): void {
    let high = this.high;
    let low = this.low;
    for (let i = 0; i < text.length; i++) {
      const unit = text.charCodeAt(i);
      high = Math.imul(high ^ unit, HIGH);
      low = Math.imul(low ^ unit, LOW);
      // High bits come back down, so that every later unit meets them.
      high ^= high >>> 15;
      low ^= low >>> 13;
    }
    // The length ends the text: 'ab' + 'c' is not 'a' + 'bc'.
    this.high = Math.imul(high ^ text.length, LOW);
    this.low = Math.imul(low ^ text.length, HIGH);
  }

  /** Adds the entry to the sums: addition does not know an order. */
  add(): void {
    let high = Math.imul(this.high ^ (this.low >>> 16), LOW);
    let low = Math.imul(this.low ^ (this.high >>> 16), HIGH);
    high ^= high >>> 13;
    low ^= low >>> 16;
    this.sumHigh = (this.sumHigh + high) | 0;
    this.sumLow = (this.sumLow + low) | 0;
  }
}
