import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { testDatabase } from '@octavia/db/testing';
import { SystemServiceClient } from '@octavia/proto';
import { rpcClient } from '@octavia/service';
import { testPki } from '@octavia/service/testing';
import { expect, it } from 'vitest';
import { tenant } from './world.ts';

it('starts as a process of its own, serves over mutual TLS, and stops when it is told to', async () => {
  const database = await testDatabase();
  const pki = await testPki();
  const tls = await pki.cert('api-gateway');
  const urlFile = join(pki.folder, 'database-url');
  writeFileSync(urlFile, database.url, { mode: 0o600 });
  const nowhere = '127.0.0.1:1';
  const gateway = spawn(process.execPath, ['--conditions=@octavia/source', 'src/main.ts'], {
    env: {
      DATABASE_URL_FILE: urlFile,
      GRPC_BIND: '127.0.0.1:0',
      GRPC_ALLOWED_CLIENTS: 'api-tier',
      TLS_CERT_FILE: tls.certFile,
      TLS_KEY_FILE: tls.keyFile,
      TLS_CA_FILE: tls.caFile,
      WORKER_ADDRESS: nowhere,
      HEALTH_ADDRESS: nowhere,
      HOUSEKEEPING_ADDRESS: nowhere,
      HEARTBEAT_UDP_ADDRESS: nowhere,
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  try {
    const client = rpcClient(SystemServiceClient, await addressOf(gateway.stdout), await pki.cert('api-tier'));
    expect((await client.getCapabilities({}, tenant())).listenerProtocols).toContain('PROTOCOL_TCP');
    client.close();
    gateway.kill('SIGTERM');
    expect(await once(gateway, 'exit')).toEqual([0, null]);
  } finally {
    gateway.kill('SIGKILL');
    await database.drop();
    pki.remove();
  }
});

/** Where it says that it listens. */
async function addressOf(output: NodeJS.ReadableStream): Promise<string> {
  for await (const line of createInterface(output)) {
    const { address } = JSON.parse(line);
    if (address) {
      output.resume();
      return address;
    }
  }
  throw new Error('The gateway ended before it listened.');
}
