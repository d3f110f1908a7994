import { createHmac } from 'node:crypto';
import { deflateSync } from 'node:zlib';

/** Seals a message as a datagram: zlib of the JSON text, then its HMAC-SHA-256 in lower case hex. */
export function sealHeartbeat(message: object, key: string): Buffer {
  const body = deflateSync(JSON.stringify(message), { level: 9 });
  const trailer = createHmac('sha256', key).update(body).digest('hex');
  return Buffer.concat([body, Buffer.from(trailer, 'ascii')]);
}
