/** A rendering for an amphora on loopback addresses, served by a real HAProxy without rights. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import type { Protocol } from '@octavia/domain';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CAPABILITIES, POOL_PROTOCOLS_OF_LISTENER, renderHaproxy } from '../src/index.ts';
import { FACTS, listener, member, pool, tree, uuid } from './trees.ts';

const VIP = '127.77.3.5';
const DEADLINE_MS = 15_000;
const pairs = CAPABILITIES.listenerProtocols.flatMap((front) =>
  (POOL_PROTOCOLS_OF_LISTENER[front] ?? []).map((back) => ({ front, back })),
);

let folder = '';
let haproxy: ChildProcess | undefined;
const servers: Server[] = [];
const ports = new Map<string, number>();

async function listen(server: Server, host = '127.0.0.1'): Promise<number> {
  server.listen(0, host);
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

async function freePort(): Promise<number> {
  const server = createServer();
  const port = await listen(server, VIP);
  server.close();
  await once(server, 'close');
  return port;
}

/** Sends a request and returns what came back; an empty text when nobody listens yet. */
async function ask(port: number): Promise<string> {
  const socket = connect(port, VIP);
  let answer = '';
  socket.on('data', (data) => {
    answer += data.toString('latin1');
  });
  socket.on('connect', () => socket.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'));
  socket.on('error', () => {});
  await new Promise((resolve) => socket.once('close', resolve));
  return answer;
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'render-'));
  const web = createHttpServer((request, response) => {
    response.end(`for=${request.headers['x-forwarded-for']} port=${request.headers['x-forwarded-port']}`);
  });
  // Shows the first bytes that arrive, so that a PROXY header is seen.
  const raw = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', (data) => {
      const body = data.toString('hex');
      socket.end(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`);
    });
  });
  servers.push(web, raw);
  const [webPort, rawPort] = [await listen(web), await listen(raw)];
  for (const { front, back } of pairs) ports.set(`${front}/${back}`, await freePort());
  const pools = pairs.map(({ back }, n) => pool(n, { protocol: back }));
  const whole = tree(
    {
      listeners: pairs.map(({ front, back }, n) =>
        listener(n, {
          protocol: front,
          protocolPort: ports.get(`${front}/${back}`) ?? 0,
          defaultPoolId: uuid(2, n),
          insertHeaders: { 'X-Forwarded-For': 'true', 'X-Forwarded-Port': 'true' },
        }),
      ),
      pools,
      members: pairs.map(({ back }, n) =>
        member(n, uuid(2, n), { address: '127.0.0.1', protocolPort: back.startsWith('PROXY') ? rawPort : webPort }),
      ),
    },
    { vip: { address: VIP, subnetId: uuid(9, 3), networkId: null, portId: null } },
  );
  const { text } = renderHaproxy(whole, {
    id: uuid(9, 1),
    facts: {
      ...FACTS,
      platform: {
        basePath: folder,
        socketPath: folder,
        user: null,
        logSocket: null,
        exclusiveBind: true,
        strictLimits: false,
        fastVrrp: false,
      },
    },
  });
  writeFileSync(join(folder, 'haproxy.cfg'), text);
  haproxy = spawn('haproxy', ['-db', '-f', join(folder, 'haproxy.cfg')], { stdio: 'ignore' });
});

afterAll(async () => {
  for (const server of servers) server.close();
  if (haproxy && haproxy.exitCode === null) {
    haproxy.kill('SIGKILL');
    await once(haproxy, 'exit');
  }
  rmSync(folder, { recursive: true, force: true });
});

describe('traffic through every combination of protocols that the provider serves', () => {
  const expected: Partial<Record<Protocol, RegExp>> = {
    PROXY: /^50524f5859205443503420/, // "PROXY TCP4 "
    PROXYV2: /^0d0a0d0a000d0a515549540a/, // The signature of version 2.
  };
  for (const { front, back } of pairs) {
    it(`reaches the member from a ${front} listener through a ${back} pool`, async () => {
      const port = ports.get(`${front}/${back}`) ?? 0;
      let body = '';
      const deadline = Date.now() + DEADLINE_MS;
      while (body === '' && Date.now() < deadline) {
        body = (await ask(port)).split('\r\n\r\n')[1] ?? '';
        if (body === '') await setTimeout(20);
      }
      const plain = front === 'HTTP' ? new RegExp(`^for=127\\.[0-9.]+ port=${port}`) : /^for=undefined port=undefined/;
      expect(body).toMatch(expected[back] ?? plain);
    });
  }
});
