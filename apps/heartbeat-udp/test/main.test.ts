/** The program itself: settings in, datagrams through, an orderly end. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { HeartbeatServiceService, type ReportHeartbeatsRequest } from '@octavia/proto';
import { formatHostPort, GrpcServer, serverStream, unary } from '@octavia/service';
import { type TestPki, testPki } from '@octavia/service/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { amphoraId, body, KEY, seal } from './seal.ts';
import { mapOf, until } from './world.ts';

const MAIN = fileURLToPath(new URL('../src/main.ts', import.meta.url));
let pki: TestPki;
let owner: GrpcServer;
let children: ChildProcess[] = [];
const requests: ReportHeartbeatsRequest[] = [];

beforeAll(async () => {
  pki = await testPki();
  const tls = await pki.cert('health');
  owner = new GrpcServer({
    bind: { host: '127.0.0.1', port: 0 },
    tls,
    allowedClients: ['heartbeat-udp'],
    drainMs: 100,
  });
  owner.add(HeartbeatServiceService, {
    reportHeartbeats: unary(async (request) => {
      requests.push(request);
      return { wantedStatuses: [], notOwned: [] };
    }),
    watchShardMap: serverStream(async (_request, { send, signal }) => {
      await send(mapOf(formatHostPort(owner.address)));
      await once(signal, 'abort');
    }),
  });
  await owner.start();
});
afterAll(async () => {
  for (const child of children) child.kill('SIGKILL');
  children = [];
  await owner.stop();
  pki.remove();
});

function start(env: Record<string, string>) {
  const child = spawn(process.execPath, ['--conditions=@octavia/source', MAIN], {
    env: { PATH: process.env.PATH, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  children.push(child);
  let output = '';
  child.stdout.on('data', (data) => (output += data));
  child.stderr.on('data', (data) => (output += data));
  // Not `exit`: what it wrote last may still be on its way then.
  const exited = once(child, 'close').then(([code]) => code as number | null);
  return { child, exited, output: () => output };
}

/** Everything that the owner was told; requests may also say no more than that the listener lives. */
const heartbeats = () => requests.flatMap((request) => request.heartbeats);

describe('heartbeat-udp', () => {
  it('hands heartbeats on, and ends in order when it is told to', async () => {
    const tls = await pki.cert('heartbeat-udp');
    const keyFile = join(pki.folder, 'heartbeat.key');
    writeFileSync(keyFile, `${KEY}\n`, { mode: 0o600 });
    const { child, exited, output } = start({
      HEARTBEAT_BIND: '127.0.0.1:0',
      HEARTBEAT_KEY_FILE: keyFile,
      HEALTH_ADDRESS: formatHostPort(owner.address),
      GRPC_BIND: '127.0.0.1:0',
      GRPC_ALLOWED_CLIENTS: 'api-gateway',
      TLS_CERT_FILE: tls.certFile,
      TLS_KEY_FILE: tls.keyFile,
      TLS_CA_FILE: tls.caFile,
      HEARTBEAT_BATCH: '1s',
      OTEL_SDK_DISABLED: 'true',
    });
    await until(() => /"address":"127\.0\.0\.1:\d+"[^\n]*listening for heartbeats/.test(output()));
    const port = Number(/"address":"127\.0\.0\.1:(\d+)"[^\n]*listening for heartbeats/.exec(output())?.[1]);
    const socket = createSocket('udp4');
    const say = (seq: number) => socket.send(seal(body(1, seq)), port, '127.0.0.1');
    say(0);
    await until(() => heartbeats().length === 1);
    say(1);
    socket.send(Buffer.alloc(40), port, '127.0.0.1');
    socket.send(seal(body(2, 0)), port, '127.0.0.1');
    await until(() => heartbeats().length === 3);
    child.kill('SIGTERM');
    expect(await exited).toBe(0);
    socket.close();
    expect(heartbeats()).toMatchObject([
      { amphoraId: amphoraId(1), seq: 0n },
      { amphoraId: amphoraId(1), seq: 1n },
      { amphoraId: amphoraId(2), seq: 0n },
    ]);
    expect(output()).toContain('"bad_hmac":1');
    expect(output()).not.toContain(KEY);
  });

  it('names every bad setting at once, and ends with 78', async () => {
    const { exited, output } = start({ HEARTBEAT_BIND: 'nowhere', HEARTBEAT_BATCH: '1h' });
    expect(await exited).toBe(78);
    for (const name of ['HEARTBEAT_BIND', 'HEARTBEAT_BATCH', 'HEARTBEAT_KEY_FILE', 'HEALTH_ADDRESS', 'GRPC_BIND']) {
      expect(output()).toContain(name);
    }
  });
});
