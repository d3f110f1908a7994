import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SettingsError } from '@octavia/service';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readConfig } from './config.ts';

let folder: string;
let complete: Record<string, string>;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'octavia-config-'));
  const file = join(folder, 'file');
  writeFileSync(file, 'postgres://somewhere');
  complete = {
    DATABASE_URL_FILE: file,
    GRPC_BIND: '127.0.0.1:0',
    GRPC_ALLOWED_CLIENTS: 'api-tier',
    TLS_CERT_FILE: file,
    TLS_KEY_FILE: file,
    TLS_CA_FILE: file,
    WORKER_ADDRESS: '127.0.0.1:1',
    HEALTH_ADDRESS: '127.0.0.1:2',
    HOUSEKEEPING_ADDRESS: '127.0.0.1:3',
    HEARTBEAT_UDP_ADDRESS: '127.0.0.1:4',
  };
});
afterAll(() => rmSync(folder, { recursive: true }));

function faults(env: Record<string, string>): string {
  try {
    readConfig({ ...complete, ...env });
    return '';
  } catch (error) {
    return error instanceof SettingsError ? error.message : `not a SettingsError: ${error}`;
  }
}

describe('the settings of the gateway', () => {
  it('have defaults for all that is a matter of policy', () => {
    expect(readConfig(complete).policy).toMatchObject({
      topology: 'SINGLE',
      flowDeadlineMs: 60_000,
      reservedIps: ['169.254.169.254'],
      quotas: { load_balancer: -1, member: -1 },
    });
  });

  it('refuse topologies and addresses that are none', () => {
    expect(readConfig({ ...complete, LOADBALANCER_TOPOLOGY: 'ACTIVE_STANDBY' }).policy.topology).toBe('ACTIVE_STANDBY');
    expect(faults({ LOADBALANCER_TOPOLOGY: 'ACTIVE_ACTIVE' })).toContain('LOADBALANCER_TOPOLOGY');
    expect(faults({ RESERVED_IPS: '10.0.0.1,ten' })).toMatch(/RESERVED_IPS.* has the entry ten/);
  });

  it('are all wrong at once', () => {
    const message = faults({ WORKER_ADDRESS: 'x', DEFAULT_POOL_QUOTA: '-2', FLOW_DEADLINE: '5' });
    for (const name of ['WORKER_ADDRESS', 'DEFAULT_POOL_QUOTA', 'FLOW_DEADLINE']) expect(message).toContain(name);
  });
});
