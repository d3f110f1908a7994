import { randomBytes } from 'node:crypto';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SettingsError } from '@octavia/service';
import { afterAll, describe, expect, it } from 'vitest';
import { readConfig } from './config.ts';

const folder = mkdtempSync(join(tmpdir(), 'worker-config-'));
afterAll(() => rm(folder, { recursive: true }));

function written(name: string, content: string): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}
const pem = written('some.pem', 'x');
const noop = {
  GRPC_BIND: '127.0.0.1:0',
  TLS_CERT_FILE: pem,
  TLS_KEY_FILE: pem,
  TLS_CA_FILE: pem,
  GRPC_ALLOWED_CLIENTS: 'api-gateway',
  DATABASE_URL_FILE: written('database', 'postgres://127.0.0.1/x'),
  COMPUTE_DRIVER: 'noop',
  NETWORK_DRIVER: 'noop',
  AMPHORA_DRIVER: 'noop',
  CERTIFICATES_DRIVER: 'noop',
  INSTALLATION_ID: '01a1f8cf-ad37-71d9-8810-96b9b75fd4c8',
  OCTAVIA_HOME: folder,
  HEARTBEAT_KEY_FILE: written('heartbeat', 'insecure'),
  CONTROLLER_IP_PORT_LIST: '127.0.0.1:5555',
  SECRETS_KEY_FILE: written('keys', `a:${randomBytes(32).toString('base64')}`),
};

describe('the settings of the worker', () => {
  it('need no files of drivers that are not used', () => {
    const config = readConfig(noop);
    expect(config.flows).toEqual({
      leaseMs: 5_000,
      concurrency: 32,
      failoverSlots: 8,
      deadlineMs: 60_000,
      mendMs: 10_000,
    });
    expect(config.agent.controllers).toEqual([{ host: '127.0.0.1', port: 5555 }]);
  });

  it('name every file that a driver misses, at once', () => {
    const { COMPUTE_DRIVER, AMPHORA_DRIVER, CERTIFICATES_DRIVER, ...local } = noop;
    const fault = catchFault(() => readConfig({ ...local, FLOW_CONCURRENCY: '8', FLOW_FAILOVER_SLOTS: '8' }));
    expect(fault.faults.map(({ name }) => name).sort()).toEqual([
      'AGENT_BUNDLE_FILE',
      'AGENT_CLIENT_CERT_FILE',
      'AGENT_SERVER_CA_FILE',
      'CA_CERTIFICATE_FILE',
      'CA_PRIVATE_KEY_FILE',
      'FLOW_FAILOVER_SLOTS',
    ]);
  });
});

function catchFault(work: () => unknown): SettingsError {
  try {
    work();
  } catch (error) {
    if (error instanceof SettingsError) return error;
  }
  throw new Error('It did not refuse.');
}
