import { createHmac } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { inflateSync } from 'node:zlib';
import type { HeartbeatMessage } from '../../src/heartbeat/message.ts';

export interface HeartbeatListener {
  readonly port: number;
  /** All that arrived, in order. */
  readonly received: readonly HeartbeatMessage[];
  /** Waits for one that arrives from now on and fits. */
  next(fits?: (message: HeartbeatMessage) => boolean): Promise<HeartbeatMessage>;
  close(): void;
}

/** Opens a datagram as the controller does. @throws Error when the HMAC is wrong */
export function openHeartbeat(datagram: Buffer, key: string): HeartbeatMessage {
  const body = datagram.subarray(0, -64);
  const expected = createHmac('sha256', key).update(body).digest('hex');
  if (expected !== datagram.subarray(-64).toString('ascii')) throw new Error('wrong HMAC');
  return JSON.parse(inflateSync(body).toString('utf8'));
}

const DEADLINE_MS = 10_000;

/** A controller's UDP socket on a loopback address. Datagrams with another key are not counted. */
export async function listenForHeartbeats(host: string, key: string): Promise<HeartbeatListener> {
  const socket = createSocket('udp4');
  const received: HeartbeatMessage[] = [];
  const waiting = new Set<(message: HeartbeatMessage) => void>();
  socket.on('message', (datagram) => {
    try {
      const message = openHeartbeat(datagram, key);
      received.push(message);
      for (const look of waiting) look(message);
    } catch {
      // Sealed with another key: for another listener.
    }
  });
  await new Promise<void>((resolve) => socket.bind(0, host, resolve));
  return {
    port: socket.address().port,
    received,
    next: (fits = () => true) =>
      new Promise((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error('no such heartbeat arrived')), DEADLINE_MS);
        const look = (message: HeartbeatMessage) => {
          if (!fits(message)) return;
          clearTimeout(timer);
          waiting.delete(look);
          resolve(message);
        };
        waiting.add(look);
      }),
    close: () => socket.close(),
  };
}
