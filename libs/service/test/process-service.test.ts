import { ProcessServiceClient, ProcessServiceService } from '@octavia/proto';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import {
  GrpcServer,
  logger,
  ProcessIdentity,
  processHandlers,
  type RpcClient,
  rpcClient,
  setLogLevel,
} from '../src/index.ts';
import { follow } from '../src/process/log-level.ts';
import { type TestPki, testPki } from '../src/testing/index.ts';
import { until } from './world.ts';

let pki: TestPki;
let server: GrpcServer;
let client: RpcClient<typeof ProcessServiceService>;
const expiry = new Date('2031-02-03T04:05:06Z');

beforeAll(async () => {
  pki = await testPki('octavia');
  const tls = await pki.cert('worker', { notAfter: expiry });
  const log = pino({ level: 'silent' });
  server = new GrpcServer({ bind: { host: '127.0.0.1', port: 0 }, tls, allowedClients: ['api-gateway'], log });
  server.add(ProcessServiceService, processHandlers(new ProcessIdentity('worker', [tls])));
  await server.start();
  client = rpcClient(ProcessServiceClient, server.address, await pki.cert('api-gateway'));
});
afterEach(() => setLogLevel(null));
afterAll(async () => {
  client.close();
  await server.stop();
  pki.remove();
});

it('tells what it is, since when, and when its certificates run out', async () => {
  const found = await client.getProcess({});
  expect(found).toMatchObject({ name: 'worker', logLevel: { level: 'info', revertsAt: undefined } });
  expect(found.version).toMatch(/^\d+\.\d+\.\d+/);
  expect(found.startedAt?.getTime()).toBeLessThan(Date.now());
  expect(found.certificates).toMatchObject([
    { subject: 'CN=worker', expiresAt: expiry, authority: false },
    { subject: 'CN=octavia', authority: true },
  ]);
});

it('turns up every logger of the process, those that come later too, and back again', async () => {
  const early = follow(pino());
  expect(await client.setProcessLogLevel({ level: 'debug', revertAfter: undefined })).toEqual({
    level: 'debug',
    revertsAt: undefined,
  });
  expect([early.level, logger('late').level]).toEqual(['debug', 'debug']);
  expect((await client.getProcess({})).logLevel?.level).toBe('debug');
  expect(await client.setProcessLogLevel({ level: '', revertAfter: undefined })).toMatchObject({ level: 'info' });
  expect(early.level).toBe('info');
});

it('goes back by itself when the time is over', async () => {
  const { revertsAt } = await client.setProcessLogLevel({
    level: 'trace',
    revertAfter: { seconds: 0n, nanos: 50_000_000 },
  });
  expect(revertsAt).toBeInstanceOf(Date);
  await until(async () => (await client.getProcess({})).logLevel?.level === 'info');
});

it('refuses a word that is no level, and a time that is none', async () => {
  const request = { level: 'loud', revertAfter: { seconds: 86_401n, nanos: 0 } };
  await expect(client.setProcessLogLevel(request)).rejects.toMatchObject({
    kind: 'invalid',
    violations: [
      { field: 'level', reason: 'INVALID_LOG_LEVEL' },
      { field: 'revert_after', reason: 'OUT_OF_RANGE' },
    ],
  });
  await expect(client.setProcessLogLevel({ level: 'silent', revertAfter: undefined })).rejects.toMatchObject({
    reason: 'INVALID_LOG_LEVEL',
  });
});
