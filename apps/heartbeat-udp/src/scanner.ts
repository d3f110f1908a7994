import { type ListenerCounters, type StatusHash, StatusHasher } from '@octavia/domain';

/** What a heartbeat says, but for its status part, which is a hash until somebody wants to know it. */
export interface Scan {
  readonly amphoraId: string;
  readonly seq: number;
  readonly boot: string;
  readonly hasTotals: boolean;
  readonly counters: readonly ListenerCounters[];
  readonly hash: StatusHash;
}

/** Characters of a key or word, and objects of a message. As `readHeartbeat` has them, which says no to more. */
const LONGEST_TEXT = 80;
const MOST_OBJECTS = 10_000;
/** Digits of an integer that is exact as a double whatever they are. */
const MOST_DIGITS = 15;
/** Pools whose keys are looked through for the same pool under two listeners. */
const MOST_POOLS = 64;
const UUID_LENGTH = 36;

const [ID, SEQ, VER, BOOT, LISTENERS, POOLS] = ['id', 'seq', 'ver', 'boot', 'listeners', 'pools'].map(wordBytes);
const [STATUS, STATS, MEMBERS] = ['status', 'stats', 'members'].map(wordBytes);
const [RX, TX, TOTCONNS, EREQ, CONNS] = ['rx', 'tx', 'totconns', 'ereq', 'conns'].map(wordBytes);

const QUOTE = 0x22;
const COMMA = 0x2c;
const MINUS = 0x2d;
const COLON = 0x3a;
const BACKSLASH = 0x5c;
const OPEN = 0x7b;
const CLOSE = 0x7d;

/** Says that a body is not of the plain form. Thrown, not returned: it is rare, and made once. */
const NOT_PLAIN = new Error('The body is not of the plain form.');

/**
 * Reads the bodies that amphorae really send (version 2 and later, ASCII, no escapes) straight from their bytes. `JSON.parse` makes a
 * string of each id and of each word, and that is most of the time of a heartbeat; here only counters become values.
 * Whatever is not plain gives null: then `JSON.parse` and `readHeartbeat` decide. What this takes, they take, with the same result;
 * a test compares them.
 */
export class Scanner {
  readonly #hasher = new StatusHasher();
  #bytes: Buffer = Buffer.alloc(0);
  #at = 0;
  #objects = 0;
  /** Where the text that was read last is, without its quotes. */
  #textFrom = 0;
  #textTo = 0;
  readonly #pools: number[] = [];

  /** @param body all bytes below 128 */
  scan(body: Buffer): Scan | null {
    this.#bytes = body;
    this.#at = 0;
    this.#objects = 0;
    this.#pools.length = 0;
    this.#hasher.reset();
    try {
      return this.#message();
    } catch (error) {
      if (error === NOT_PLAIN) return null;
      throw error;
    }
  }

  #message(): Scan {
    let amphoraId = '';
    let boot = '';
    let seq = -1;
    let version = -1;
    let counters: ListenerCounters[] | null = null;
    let hasPools = false;
    this.#expect(OPEN);
    for (let more = this.#begins(); more; more = this.#goesOn()) {
      this.#key();
      if (this.#is(ID)) amphoraId = once(amphoraId === '') && this.#uuid();
      else if (this.#is(SEQ)) seq = once(seq < 0) && this.#integer();
      else if (this.#is(VER)) version = once(version < 0) && this.#integer();
      else if (this.#is(BOOT)) boot = once(boot === '') && this.#word();
      else if (this.#is(LISTENERS)) counters = once(counters === null) && this.#listeners();
      else if (this.#is(POOLS)) hasPools = once(!hasPools) && this.#poolReports();
      else this.#skipScalar();
    }
    this.#blanks();
    if (this.#at !== this.#bytes.length || amphoraId === '' || seq < 0 || version < 2 || !counters || !hasPools) {
      throw NOT_PLAIN;
    }
    return { amphoraId, seq, boot, hasTotals: version < 3, counters, hash: this.#hasher.hash() };
  }

  #listeners(): ListenerCounters[] {
    const all: ListenerCounters[] = [];
    this.#expect(OPEN);
    for (let more = this.#begins(); more; more = this.#goesOn()) {
      this.#key();
      this.#count();
      const listenerId = this.#bytes.toString('latin1', this.#textFrom, this.#textTo);
      this.#hasher.beginListener();
      this.#hasher.ascii(this.#bytes, this.#textFrom, this.#textTo);
      let hasStatus = false;
      let hasStats = false;
      this.#expect(OPEN);
      for (let field = this.#begins(); field; field = this.#goesOn()) {
        this.#key();
        if (this.#is(STATUS)) {
          this.#text();
          this.#hasher.ascii(this.#bytes, this.#textFrom, this.#textTo);
          this.#hasher.add();
          hasStatus = once(!hasStatus);
        } else if (this.#is(STATS)) {
          all.push(this.#stats(listenerId));
          hasStats = once(!hasStats);
        } else {
          this.#skipScalar();
        }
      }
      once(hasStatus);
    }
    return all;
  }

  #stats(listenerId: string): ListenerCounters {
    let bytesIn = -1;
    let bytesOut = -1;
    let totalConnections = -1;
    let requestErrors = -1;
    let activeConnections = -1;
    this.#expect(OPEN);
    for (let more = this.#begins(); more; more = this.#goesOn()) {
      this.#key();
      const value = this.#integer();
      if (this.#is(RX)) bytesIn = value;
      else if (this.#is(TX)) bytesOut = value;
      else if (this.#is(TOTCONNS)) totalConnections = value;
      else if (this.#is(EREQ)) requestErrors = value;
      else if (this.#is(CONNS)) activeConnections = value;
    }
    const least = Math.min(bytesIn, bytesOut, totalConnections, requestErrors, activeConnections);
    if (least < 0) throw NOT_PLAIN;
    return { listenerId, bytesIn, bytesOut, totalConnections, requestErrors, activeConnections };
  }

  #poolReports(): true {
    const hasher = this.#hasher;
    this.#expect(OPEN);
    for (let more = this.#begins(); more; more = this.#goesOn()) {
      this.#key();
      this.#poolKey();
      let hasStatus = false;
      let hasMembers = false;
      this.#expect(OPEN);
      for (let field = this.#begins(); field; field = this.#goesOn()) {
        this.#key();
        if (this.#is(STATUS)) {
          this.#text();
          hasher.backToPool();
          hasher.ascii(this.#bytes, this.#textFrom, this.#textTo);
          hasher.add();
          hasStatus = once(!hasStatus);
        } else if (this.#is(MEMBERS)) {
          this.#members();
          hasMembers = once(!hasMembers);
        } else {
          this.#skipScalar();
        }
      }
      once(hasStatus && hasMembers);
    }
    return true;
  }

  /** The id before the last colon. A pool under two listeners is not plain: the last one counts then. */
  #poolKey(): void {
    this.#count();
    const bytes = this.#bytes;
    let end = this.#textTo;
    for (let i = this.#textTo - 1; i >= this.#textFrom; i--) {
      if (bytes[i] === COLON) {
        end = i;
        break;
      }
    }
    const length = end - this.#textFrom;
    for (let i = 0; i < this.#pools.length; i += 2) {
      const from = this.#pools[i] ?? 0;
      if (this.#pools[i + 1] === length && bytes.compare(bytes, from, from + length, this.#textFrom, end) === 0) {
        throw NOT_PLAIN;
      }
    }
    if (this.#pools.length >= 2 * MOST_POOLS) throw NOT_PLAIN;
    this.#pools.push(this.#textFrom, length);
    this.#hasher.beginPool();
    this.#hasher.ascii(bytes, this.#textFrom, end);
    this.#hasher.keepPool();
  }

  #members(): void {
    const hasher = this.#hasher;
    this.#expect(OPEN);
    for (let more = this.#begins(); more; more = this.#goesOn()) {
      this.#text();
      this.#count();
      hasher.beginMember();
      hasher.ascii(this.#bytes, this.#textFrom, this.#textTo);
      this.#expect(COLON);
      this.#text();
      hasher.ascii(this.#bytes, this.#textFrom, this.#textTo);
      hasher.add();
    }
  }

  #count(): void {
    this.#objects += 1;
    if (this.#objects > MOST_OBJECTS) throw NOT_PLAIN;
  }

  #blanks(): void {
    const bytes = this.#bytes;
    let byte = bytes[this.#at];
    while (byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09) {
      this.#at += 1;
      byte = bytes[this.#at];
    }
  }

  #expect(byte: number): void {
    this.#blanks();
    if (this.#bytes[this.#at] !== byte) throw NOT_PLAIN;
    this.#at += 1;
  }

  /** After the opening brace: whether the object has a key. */
  #begins(): boolean {
    this.#blanks();
    if (this.#bytes[this.#at] !== CLOSE) return true;
    this.#at += 1;
    return false;
  }

  /** After a value: whether another key follows. */
  #goesOn(): boolean {
    this.#blanks();
    const byte = this.#bytes[this.#at];
    this.#at += 1;
    if (byte === COMMA) return true;
    if (byte === CLOSE) return false;
    throw NOT_PLAIN;
  }

  /** A key with its colon. */
  #key(): void {
    this.#text();
    this.#expect(COLON);
  }

  /** Whether the text that was read last is this word. */
  #is(word: Uint8Array | undefined): boolean {
    const from = this.#textFrom;
    if (!word || this.#textTo - from !== word.length) return false;
    for (let i = 0; i < word.length; i++) if (this.#bytes[from + i] !== word[i]) return false;
    return true;
  }

  #word(): string {
    this.#text();
    return this.#bytes.toString('latin1', this.#textFrom, this.#textTo);
  }

  #text(): void {
    this.#expect(QUOTE);
    const bytes = this.#bytes;
    const from = this.#at;
    let at = from;
    for (let byte = bytes[at]; byte !== QUOTE; byte = bytes[at]) {
      if (byte === undefined || byte < 0x20 || byte === BACKSLASH) throw NOT_PLAIN;
      at += 1;
    }
    if (at - from > LONGEST_TEXT) throw NOT_PLAIN;
    this.#textFrom = from;
    this.#textTo = at;
    this.#at = at + 1;
  }

  #uuid(): string {
    const text = this.#word();
    if (text.length !== UUID_LENGTH) throw NOT_PLAIN;
    for (let i = 0; i < UUID_LENGTH; i++) {
      const unit = text.charCodeAt(i);
      const isDash = i === 8 || i === 13 || i === 18 || i === 23;
      if (isDash ? unit !== MINUS : !isHexDigit(unit)) throw NOT_PLAIN;
    }
    return text;
  }

  /** Digits only. */
  #integer(): number {
    this.#blanks();
    const bytes = this.#bytes;
    const from = this.#at;
    let at = from;
    let value = 0;
    for (let digit = (bytes[at] ?? 0) - 0x30; digit >= 0 && digit <= 9; digit = (bytes[at] ?? 0) - 0x30) {
      value = value * 10 + digit;
      at += 1;
    }
    const digits = at - from;
    if (digits === 0 || digits > MOST_DIGITS || (digits > 1 && bytes[from] === 0x30)) throw NOT_PLAIN;
    this.#at = at;
    return value;
  }

  /** A field that we do not know. */
  #skipScalar(): void {
    this.#blanks();
    if (this.#bytes[this.#at] === QUOTE) {
      this.#text();
      return;
    }
    const rest = this.#bytes.toString('latin1', this.#at, this.#at + LONGEST_TEXT);
    const [scalar] = /^(?:-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)/.exec(rest) ?? [];
    if (scalar === undefined || scalar.length === LONGEST_TEXT) throw NOT_PLAIN;
    this.#at += scalar.length;
  }
}

function wordBytes(word: string): Uint8Array {
  return Buffer.from(word, 'latin1');
}

/** A key that comes twice is not plain, nor is one that is missing. */
function once(holds: boolean): true {
  if (!holds) throw NOT_PLAIN;
  return true;
}

function isHexDigit(unit: number): boolean {
  return (unit >= 0x30 && unit <= 0x39) || (unit >= 0x61 && unit <= 0x66);
}
