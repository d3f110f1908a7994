import { createServer, get, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** Between two requests of a client that waits for an answer, in milliseconds: the resolution of what is measured. */
const POLL_MS = 2;
const REQUEST_LIMIT_MS = 1_000;

/** A web server behind a load balancer; answers with its own port. */
export interface Web {
  readonly address: string;
  readonly port: number;
  close(): void;
}

/** @param address of this machine, where amphorae reach it */
export async function startWeb(address = '127.0.0.1'): Promise<Web> {
  const server: Server = createServer((_, response) => response.end(String((server.address() as AddressInfo).port)));
  await new Promise<void>((done) => server.listen(0, address, done));
  return {
    address,
    port: (server.address() as AddressInfo).port,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

/** One request on a connection of its own. @throws Error unless it is answered with 200 */
export function ask(host: string, port: number): Promise<string> {
  return new Promise((done, fail) => {
    const request = get({ host, port, agent: false, timeout: REQUEST_LIMIT_MS }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (text: string) => {
        body += text;
      });
      response.once('error', fail);
      response.once('end', () =>
        response.statusCode === 200 ? done(body) : fail(new Error(`${response.statusCode}`)),
      );
    });
    request.once('timeout', () => request.destroy(new Error('no answer')));
    request.once('error', fail);
  });
}

/**
 * Asks until an answer is good. Returns when it came, by performance.now(), and how many requests failed before.
 * @throws Error after `limitMs`, with the last failure
 */
export async function untilAnswer(
  vip: string,
  port: number,
  limitMs: number,
  isGood: (body: string) => boolean = () => true,
): Promise<{ at: number; failed: number }> {
  const giveUpAt = performance.now() + limitMs;
  let failed = 0;
  let last: unknown = new Error('answers, but not as wanted');
  while (performance.now() < giveUpAt) {
    try {
      if (isGood(await ask(vip, port))) return { at: performance.now(), failed };
    } catch (error) {
      failed += 1;
      last = error;
    }
    await sleep(POLL_MS);
  }
  throw new Error(`No good answer from ${vip}:${port} in ${limitMs} ms.`, { cause: last });
}

/** Waits for a condition of the controller. @throws Error after `limitMs` */
export async function until(what: string, limitMs: number, isSo: () => Promise<boolean>): Promise<void> {
  const giveUpAt = performance.now() + limitMs;
  while (!(await isSo())) {
    if (performance.now() > giveUpAt) throw new Error(`Not within ${limitMs} ms: ${what}.`);
    await sleep(20);
  }
}
