import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Deployments } from '@octavia/db';
import { NOOP_SUBNET } from '@octavia/drivers';
import { LookupServiceClient } from '@octavia/proto';
import { rpcClient } from '@octavia/service';
import { type TestPki, testPki } from '@octavia/service/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestWorld } from './world.ts';

let world: TestWorld;
let pki: TestPki;
let worker: ChildProcess;
let address: string;

beforeAll(async () => {
  world = await TestWorld.open();
  pki = await testPki();
  const tls = await pki.cert('worker');
  const written = (name: string, content: string): string => {
    const path = join(pki.folder, name);
    writeFileSync(path, content, { mode: 0o600 });
    return path;
  };
  worker = spawn(process.execPath, ['--conditions=@octavia/source', 'src/main.ts'], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {
      PATH: process.env.PATH,
      LOG_LEVEL: 'info',
      DATABASE_URL_FILE: written('database', world.test.url),
      GRPC_BIND: '127.0.0.1:0',
      GRPC_ALLOWED_CLIENTS: 'api-gateway',
      TLS_CERT_FILE: tls.certFile,
      TLS_KEY_FILE: tls.keyFile,
      TLS_CA_FILE: pki.caFile,
      COMPUTE_DRIVER: 'noop',
      NETWORK_DRIVER: 'noop',
      AMPHORA_DRIVER: 'noop',
      CERTIFICATES_DRIVER: 'noop',
      INSTALLATION_ID: '01a1f8cf-ad37-71d9-8810-96b9b75fd4c8',
      OCTAVIA_HOME: pki.folder,
      HEARTBEAT_KEY_FILE: written('heartbeat', 'insecure'),
      CONTROLLER_IP_PORT_LIST: '127.0.0.1:5555',
      SECRETS_KEY_FILE: written('keys', `a:${randomBytes(32).toString('base64')}`),
    },
  });
  address = await addressOf(worker);
});
afterAll(async () => {
  worker.kill('SIGKILL');
  await world.close();
  pki.remove();
});

/** The address that the log tells once the gRPC server has started. */
async function addressOf(child: ChildProcess): Promise<string> {
  if (!child.stdout) throw new Error('The process has no output.');
  const seen: string[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    seen.push(line);
    const entry = JSON.parse(line) as { msg: string; address?: string };
    if (entry.msg === 'gRPC server started' && entry.address) {
      child.stdout.resume();
      return entry.address;
    }
  }
  throw new Error(`The worker ended: ${seen.join('\n')}`);
}

describe('the process of the worker', () => {
  it('answers look-ups, of those alone who may ask', async () => {
    const client = rpcClient(LookupServiceClient, address, await pki.cert('api-gateway'));
    const stranger = rpcClient(LookupServiceClient, address, await pki.cert('health'));
    try {
      expect(await client.getDrivers({})).toEqual({
        names: { compute: 'noop', network: 'noop', amphora: 'noop', certificates: 'noop' },
      });
      expect(await client.getSubnet({ id: NOOP_SUBNET.id, projectId: 'p' })).toMatchObject({ cidr: NOOP_SUBNET.cidr });
      const unknown = client.getSubnet({ id: '00000000-0000-7000-8000-000000000000', projectId: 'p' });
      await expect(unknown).rejects.toMatchObject({ reason: 'SUBNET_NOT_FOUND' });
      await expect(stranger.getDrivers({})).rejects.toMatchObject({ kind: 'forbidden' });
    } finally {
      client.close();
      stranger.close();
    }
  });

  it('tells the database at its start what its drivers can do', async () => {
    expect(await new Deployments().get(world.db.reader)).toMatchObject({ topologies: ['SINGLE', 'ACTIVE_STANDBY'] });
  });

  it('runs the flows of the queue', async () => {
    const id = await world.create();
    await world.addListener(id, 80);
    expect(await world.settled(id)).toMatchObject({ provisioningStatus: 'ACTIVE' });
  });

  it('ends in order when it is told to', async () => {
    worker.kill('SIGTERM');
    const [code] = await once(worker, 'exit');
    expect(code).toBe(0);
  });
});
