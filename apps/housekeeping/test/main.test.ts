/** The program itself: settings in, spares asked for, an orderly end. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Database } from '@octavia/db';
import { type TestDatabase, testDatabase } from '@octavia/db/testing';
import { type TestPki, testPki } from '@octavia/service/testing';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';

const MAIN = fileURLToPath(new URL('../src/main.ts', import.meta.url));
let test: TestDatabase;
let pki: TestPki;
let db: Database;
let child: ChildProcess | undefined;
beforeAll(async () => {
  [test, pki] = await Promise.all([testDatabase(), testPki()]);
  db = new Database({ url: test.url, applicationName: 'test' });
  await db.start();
});
afterAll(async () => {
  child?.kill('SIGKILL');
  await db.stop();
  await test.drop();
  pki.remove();
});

describe('housekeeping', () => {
  it('fills the pool, and ends in order when it is told to', async () => {
    const tls = await pki.cert('housekeeping');
    const urlFile = join(pki.folder, 'database-url');
    writeFileSync(urlFile, test.url, { mode: 0o600 });
    child = spawn(process.execPath, ['--conditions=@octavia/source', MAIN], {
      env: {
        PATH: process.env.PATH,
        DATABASE_URL_FILE: urlFile,
        GRPC_BIND: '127.0.0.1:0',
        GRPC_ALLOWED_CLIENTS: 'api-gateway',
        TLS_CERT_FILE: tls.certFile,
        TLS_KEY_FILE: tls.keyFile,
        TLS_CA_FILE: tls.caFile,
        SPARE_AMPHORA_POOL_SIZE: '2',
        COMPUTE_DRIVER: 'noop',
        OTEL_SDK_DISABLED: 'true',
      },
      stdio: 'ignore',
    });
    const exited = once(child, 'exit');
    const spares = () => db.reader.query(`SELECT name FROM flow WHERE name = 'amphora.create'`);
    await vi.waitFor(async () => expect(await spares()).toHaveLength(2), { timeout: 15_000, interval: 50 });
    child.kill('SIGTERM');
    expect((await exited)[0]).toBe(0);
  });
});
