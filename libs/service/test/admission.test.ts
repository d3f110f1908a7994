import { readFileSync, writeFileSync } from 'node:fs';
import { connect, type TLSSocket } from 'node:tls';
import { Client, experimental, loadPackageDefinition } from '@grpc/grpc-js';
import { afterEach, describe, expect, it } from 'vitest';
import { CertificateFiles, formatHostPort, type TlsFiles } from '../src/index.ts';
import { testPki } from '../src/testing/index.ts';
import { startWorld, until, type World } from './world.ts';

const byName = { 'grpc.ssl_target_name_override': 'localhost' };

let world: World | undefined;
afterEach(async () => {
  await world?.stop();
  world = undefined;
});

async function start(options = {}): Promise<World> {
  world = await startWorld({}, options);
  return world;
}

function credentialsOf(tls: TlsFiles) {
  const files = new CertificateFiles(tls);
  return experimental.createCertificateProviderChannelCredentials(files, files);
}

/** Serial number of the certificate that the server shows now. */
async function serialOf({ server }: World, tls: TlsFiles): Promise<string> {
  const socket = await new Promise<TLSSocket>((resolve, reject) => {
    const options = { cert: readFileSync(tls.certFile), key: readFileSync(tls.keyFile), ca: readFileSync(tls.caFile) };
    const opened: TLSSocket = connect({ ...server.address, ...options, ALPNProtocols: ['h2'] }, () => resolve(opened));
    opened.on('error', reject);
  });
  const { serialNumber } = socket.getPeerCertificate();
  socket.destroy();
  return serialNumber;
}

describe('who may call', () => {
  it('is only who is on the list', async () => {
    const { lookup, lines } = await start();
    const stranger = await lookup('stranger');
    await expect(stranger.getDrivers({})).rejects.toMatchObject({
      kind: 'forbidden',
      reason: 'CLIENT_NOT_ALLOWED',
      details: { client: 'stranger' },
    });
    expect(lines.some((line) => line.msg === 'client refused' && line.client === 'stranger')).toBe(true);
    expect(await (await lookup('client')).getDrivers({})).toEqual({ names: {} });
  });

  it('is everyone with a certificate of ours where the list says *', async () => {
    const { lookup } = await start({ allowedClients: ['*'] });
    expect(await (await lookup('anyone')).getDrivers({})).toEqual({ names: {} });
  });

  it('is nobody with a certificate of another authority', async () => {
    const { lookup, pki } = await start();
    const other = await testPki('another authority');
    const forged = await other.cert('client');
    const client = await lookup('client', { certFile: forged.certFile, keyFile: forged.keyFile, caFile: pki.caFile });
    await expect(client.getDrivers({}, { deadlineMs: 2000 })).rejects.toMatchObject({ kind: 'unavailable' });
    other.remove();
  });

  it('is nobody whose certificate has run out', async () => {
    const { lookup, pki } = await start();
    const old = await pki.cert('client', { notBefore: new Date(0), notAfter: new Date(Date.now() - 60_000) });
    const client = await lookup('client', old);
    await expect(client.getDrivers({}, { deadlineMs: 2000 })).rejects.toMatchObject({ kind: 'unavailable' });
  });

  it('is not served by a server of another name', async () => {
    const { lookup } = await start();
    const client = await lookup('client', { serverName: 'bank.example' });
    await expect(client.getDrivers({}, { deadlineMs: 2000 })).rejects.toMatchObject({ kind: 'unavailable' });
  });
});

describe('certificates', () => {
  it('are taken from their files when these change, without a restart', async () => {
    const pki = await testPki();
    const tls = await pki.cert('server');
    const here = await start({ tls, tlsReloadMs: 20 });
    const own = await pki.cert('client');
    const before = await serialOf(here, own);
    await pki.cert('server', { replace: tls });
    await until(async () => (await serialOf(here, own)) !== before);
    pki.remove();
  });

  it('stay the old ones while the new files do not fit together', async () => {
    const pki = await testPki();
    const tls = await pki.cert('server');
    const here = await start({ tls, tlsReloadMs: 20 });
    const client = await here.pki.cert('client');
    const own = { ...client, caFile: pki.caFile };
    const trusted = { ...tls, caFile: here.pki.caFile };
    const files = new CertificateFiles(trusted);
    const seen: (Buffer | undefined)[] = [];
    files.addIdentityCertificateListener((update) => seen.push(update?.certificate));
    await until(() => seen.length === 1);
    const goodKey = readFileSync(tls.keyFile);
    writeFileSync(tls.keyFile, readFileSync(own.keyFile));
    files.reload();
    expect(seen).toHaveLength(1);
    writeFileSync(tls.keyFile, 'half a ke');
    files.reload();
    expect(seen).toHaveLength(1);
    writeFileSync(tls.keyFile, goodKey);
    await pki.cert('server', { replace: trusted });
    files.reload();
    expect(seen).toHaveLength(2);
    expect(() => new CertificateFiles({ ...trusted, keyFile: own.keyFile })).toThrow();
    pki.remove();
  });
});

describe('grpc.health.v1', () => {
  async function healthClient(here: World, commonName: string) {
    const { service } = await import('grpc-health-check');
    const Health = loadPackageDefinition({ Health: service } as never).Health as unknown as typeof Client;
    return new Health(
      formatHostPort(here.server.address),
      credentialsOf(await here.pki.cert(commonName)),
      byName,
    ) as Client & {
      check(request: object, callback: (error: unknown, reply: { status: string }) => void): void;
      watch(request: object): NodeJS.ReadableStream;
    };
  }

  it('tells every certificate of ours that the services serve, and watchers that they stop', async () => {
    const here = await start();
    const client = await healthClient(here, 'some-probe');
    const service = 'octavia.internal.v1.LookupService';
    const reply = await new Promise((resolve, reject) => {
      client.check({ service }, (error, answer) => (error ? reject(error) : resolve(answer)));
    });
    expect(reply).toEqual({ status: 'SERVING' });
    const states: unknown[] = [];
    const ended = Promise.withResolvers<void>();
    client
      .watch({ service: '' })
      .on('data', ({ status }) => states.push(status))
      .on('error', () => ended.resolve())
      .on('end', () => ended.resolve());
    await until(() => states.length === 1);
    const began = Date.now();
    await here.server.stop();
    await ended.promise;
    expect(states).toEqual(['SERVING', 'NOT_SERVING']);
    expect(Date.now() - began).toBeLessThan(1_500);
    client.close();
  });
});

describe('reflection', () => {
  const path = '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo';

  it('lists the services that are served, and no others', async () => {
    const here = await start();
    const client = new Client(
      formatHostPort(here.server.address),
      credentialsOf(await here.pki.cert('client')),
      byName,
    );
    // listServices is field 7, a text: tag 0x3a.
    const asBytes = (bytes: Buffer) => bytes;
    const call = client.makeBidiStreamRequest(path, asBytes, asBytes);
    const reply = new Promise<Buffer>((resolve, reject) => call.on('data', resolve).on('error', reject));
    call.write(Buffer.from([0x3a, 1, 0x2a]));
    const text = (await reply).toString('latin1');
    call.end();
    expect(text).toContain('octavia.internal.v1.LookupService');
    expect(text).toContain('octavia.internal.v1.HeartbeatService');
    expect(text).not.toContain('octavia.v1.LoadBalancerService');
    client.close();
  });
});
