import { createHmac } from 'node:crypto';
import { deflateSync } from 'node:zlib';

export const KEY = 'insecure-heartbeat-key-0123456789';

/** A datagram as an amphora sends it. */
export function seal(body: unknown, key = KEY): Buffer {
  return sealBytes(deflateSync(JSON.stringify(body), { level: 9 }), key);
}

/** Signs bytes that need not be a zlib stream. */
export function sealBytes(bytes: Buffer, key = KEY): Buffer {
  return Buffer.concat([bytes, Buffer.from(createHmac('sha256', key).update(bytes).digest('hex'))]);
}

export const amphoraId = (n: number) => `a0000000-0000-4000-8000-${String(n).padStart(12, '0')}`;
export const LISTENER = '10000000-0000-4000-8000-000000000001';
export const POOL = '20000000-0000-4000-8000-000000000001';
export const MEMBER = '30000000-0000-4000-8000-000000000001';

/** Body of a heartbeat, version 3, of an amphora with one listener, one pool and one member. */
export function body(n: number, seq: number, over: { rx?: number; member?: string; ver?: number; boot?: string } = {}) {
  return {
    id: amphoraId(n),
    seq,
    ver: over.ver ?? 3,
    boot: over.boot,
    listeners: {
      [LISTENER]: { status: 'OPEN', stats: { tx: 1, rx: over.rx ?? 10, conns: seq, totconns: 1, ereq: 0 } },
    },
    pools: { [`${POOL}:${LISTENER}`]: { status: 'UP', members: { [MEMBER]: over.member ?? 'UP' } } },
  };
}
