/** The program itself: settings in, shards owned, an orderly end, and a quick way back after a crash. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { World } from './world.ts';

const MAIN = fileURLToPath(new URL('../src/main.ts', import.meta.url));
let world: World;
const children: ChildProcess[] = [];
beforeAll(async () => {
  world = await World.start();
});
afterAll(async () => {
  for (const child of children) child.kill('SIGKILL');
  await world.stop();
});

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('The system gave no port.');
  return address.port;
}

describe('health', () => {
  it('owns the shards, takes them again at once after kill -9, and gives them back when it is told to end', async () => {
    const tls = await world.pki.cert('health');
    const urlFile = join(world.pki.folder, 'database-url');
    writeFileSync(urlFile, world.test.url, { mode: 0o600 });
    const address = `127.0.0.1:${await freePort()}`;
    const start = () => {
      const child = spawn(process.execPath, ['--conditions=@octavia/source', MAIN], {
        env: {
          PATH: process.env.PATH,
          DATABASE_URL_FILE: urlFile,
          GRPC_BIND: address,
          ADVERTISED_ADDRESS: address,
          GRPC_ALLOWED_CLIENTS: 'heartbeat-udp',
          TLS_CERT_FILE: tls.certFile,
          TLS_KEY_FILE: tls.keyFile,
          TLS_CA_FILE: tls.caFile,
          // Longer than this test may take: only its own address lets it come back sooner.
          SHARD_LEASE: '5m',
          OTEL_SDK_DISABLED: 'true',
        },
        stdio: 'ignore',
      });
      children.push(child);
      return { child, exited: once(child, 'exit') };
    };
    const owner = async () => (await world.query('SELECT owner, epoch FROM shard_owner'))[0];
    const isOwnedIn = (epoch: string) =>
      vi.waitFor(async () => expect(await owner()).toEqual({ owner: address, epoch }), {
        timeout: 15_000,
        interval: 50,
      });
    const first = start();
    await isOwnedIn('1');
    first.child.kill('SIGKILL');
    await first.exited;
    const second = start();
    await isOwnedIn('2');
    second.child.kill('SIGTERM');
    expect((await second.exited)[0]).toBe(0);
    expect(await owner()).toEqual({ owner: null, epoch: '2' });
  });
});
