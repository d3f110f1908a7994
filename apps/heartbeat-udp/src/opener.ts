import { isAscii, isUtf8 } from 'node:buffer';
import { type HeartbeatMessage, readHeartbeat, type StatusReport, statusHash } from '@octavia/domain';
import { Inflater } from './inflater.ts';
import type { Outcome } from './outcomes.ts';
import { type Scan, Scanner } from './scanner.ts';
import { HEX_TRAILER, RAW_TRAILER, Signature } from './signature.ts';

/** Why a datagram is dropped. */
export type Refusal = Exclude<Outcome, 'accepted' | 'replayed' | 'backlog_full'>;

/** A heartbeat that was opened. */
export interface Opened extends Scan {
  /** The JSON text, which the status part can be read from. Valid until the next datagram is opened: copy it to keep it. */
  readonly body: Buffer;
}

/** Bodies above this many bytes are scanned for their depth: no honest one is nested beyond 5, or as long. */
const SCANNED_ABOVE = 65_536;
const DEEPEST = 32;

/**
 * Opens datagrams: signature over the compressed bytes, then zlib, UTF-8, JSON, fields. Nothing is inflated before its
 * signature is good. Synchronous, and with buffers of its own: use one at a time.
 */
export class Opener {
  readonly #signatures: readonly Signature[];
  readonly #inflater: Inflater;
  readonly #scanner = new Scanner();

  /** @param keys those that are accepted, the usual one first; two while one replaces the other */
  constructor(keys: readonly string[], inflater = new Inflater()) {
    if (keys.length === 0)
      throw new Error('A heartbeat key is needed: without one anybody could speak for an amphora.');
    this.#signatures = keys.map((key) => new Signature(key));
    this.#inflater = inflater;
  }

  open(datagram: Buffer): Opened | Refusal {
    if (datagram.length < RAW_TRAILER) return 'too_short';
    const length = this.#signedLength(datagram);
    if (length < 0) return 'bad_hmac';
    const body = this.#inflater.inflate(datagram.subarray(0, length));
    if (typeof body === 'string') return body;
    const scan = isAscii(body) ? this.#scanner.scan(body) : null;
    if (scan) return opened(scan, body);
    const message = parse(body);
    return typeof message === 'string' ? message : opened({ ...message, hash: statusHash(message.status) }, body);
  }

  /** Bytes before a good trailer, or -1. The hexadecimal form first: all current amphorae send it. */
  #signedLength(datagram: Buffer): number {
    for (const signature of this.#signatures) {
      if (signature.endsInHex(datagram)) return datagram.length - HEX_TRAILER;
    }
    for (const signature of this.#signatures) {
      if (signature.endsInBytes(datagram)) return datagram.length - RAW_TRAILER;
    }
    return -1;
  }
}

/** Of a body that was opened before. */
export function statusOf(body: Buffer): StatusReport | undefined {
  const message = parse(body);
  return typeof message === 'string' ? undefined : message.status;
}

function opened({ amphoraId, seq, boot, hasTotals, counters, hash }: Scan, body: Buffer): Opened {
  return { amphoraId, seq, boot, hasTotals, counters, hash, body };
}

function parse(body: Buffer): HeartbeatMessage | Refusal {
  const ascii = isAscii(body);
  if (!ascii && !isUtf8(body)) return 'bad_utf8';
  if (body.length > SCANNED_ABOVE && isTooDeep(body)) return 'too_large';
  let value: unknown;
  try {
    value = JSON.parse(body.toString(ascii ? 'latin1' : 'utf8'));
  } catch {
    return 'bad_json';
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return 'not_object';
  return readHeartbeat(value);
}

/** Counts brackets, also those inside of texts: an honest body has none there. */
function isTooDeep(body: Buffer): boolean {
  let depth = 0;
  for (const byte of body) {
    if (byte === 0x5b || byte === 0x7b) {
      depth += 1;
      if (depth > DEEPEST) return true;
    } else if (byte === 0x5d || byte === 0x7d) {
      depth -= 1;
    }
  }
  return false;
}
