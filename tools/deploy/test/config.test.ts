import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { SettingsReader, Shape } from '@octavia/service';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readOptions, SERVICES, type ServiceName } from '../src/options.ts';
import { DEPLOY, ROOT } from '../src/root.ts';

const EXAMPLE = join(DEPLOY, 'octavia.conf.example');
const folder = mkdtempSync(join(tmpdir(), 'octavia-config-'));
afterAll(() => rmSync(folder, { recursive: true }));

const file = (name: string, content: string): string => {
  writeFileSync(join(folder, name), content, { mode: 0o600 });
  return join(folder, name);
};
/** Values for what has no default: the smallest that a deployment writes. */
const REQUIRED: Record<string, string> = {
  GRPC_BIND: '127.0.0.1:0',
  GRPC_ALLOWED_CLIENTS: 'api-gateway',
  TLS_CERT_FILE: file('cert', 'x'),
  TLS_KEY_FILE: file('key', 'x'),
  TLS_CA_FILE: file('ca', 'x'),
  DATABASE_URL_FILE: file('url', 'postgres://localhost/octavia'),
  WORKER_ADDRESS: '127.0.0.1:1',
  HEALTH_ADDRESS: '127.0.0.1:2',
  HOUSEKEEPING_ADDRESS: '127.0.0.1:3',
  HEARTBEAT_UDP_ADDRESS: '127.0.0.1:4',
  ADVERTISED_ADDRESS: '127.0.0.1:2',
  HEARTBEAT_KEY_FILE: file('heartbeat', 'x'),
  SECRETS_KEY_FILE: file('secrets', 'x'),
  CONTROLLER_IP_PORT_LIST: '127.0.0.1:5555',
  INSTALLATION_ID: '00000000-0000-4000-8000-000000000000',
  OCTAVIA_HOME: folder,
  // Needed by the default drivers.
  AGENT_BUNDLE_FILE: file('bundle', 'x'),
  AGENT_CLIENT_CERT_FILE: file('client-cert', 'x'),
  AGENT_SERVER_CA_FILE: file('agent-ca', 'x'),
  CA_CERTIFICATE_FILE: file('ca-cert', 'x'),
  CA_PRIVATE_KEY_FILE: file('ca-key', 'x'),
};

/** Different in each service for a reason: pools have the size that the service needs, and one takes several addresses. */
const MAY_DIFFER = ['DATABASE_POOL_SIZE', 'HEALTH_ADDRESS', 'COMPUTE_DRIVER'];

const readers = new Map<ServiceName, SettingsReader<Shape>>();
beforeAll(async () => {
  for (const service of SERVICES) {
    const { readConfig } = await import(`${ROOT}/apps/${service}/src/config.ts`);
    readers.set(service, readConfig);
  }
});

/** What a service makes of the example, changed or not. */
function configOf(service: ServiceName, example: string): unknown {
  return readers.get(service)?.({ OCTAVIA_CONFIG_FILE: example, ...REQUIRED });
}

describe('the example of the configuration', () => {
  it.each(SERVICES)('is accepted by %s as it is, and with every default written out', (service) => {
    const text = readFileSync(EXAMPLE, 'utf8');
    const written = text.replaceAll(/^#([A-Z][A-Z0-9_]*=.+)$/gm, '$1').replace(/^DATABASE_POOL_SIZE=.*$/m, '');
    expect(written.match(/^[A-Z]/gm)?.length).toBeGreaterThan(40);
    const bare = configOf(service, EXAMPLE);
    expect(bare).toBeDefined();
    expect(configOf(service, file('written.conf', written))).toEqual(bare);
  });

  it('says of every option what it does and what it takes', async () => {
    for (const { name, readBy } of await readOptions()) {
      for (const { service, option } of readBy) {
        expect(option.doc, `${name} of ${service} has no doc`).not.toBe('');
        expect(option.allowed, `${name} of ${service} says not what it takes`).not.toBe('');
      }
    }
  });

  it('gives an option one meaning: whoever reads it takes the same values and has the same default', async () => {
    const options = (await readOptions()).filter(({ name }) => !MAY_DIFFER.includes(name));
    const different = options.filter(
      ({ readBy }) => new Set(readBy.map(({ option }) => `${option.allowed} ${option.default}`)).size > 1,
    );
    expect(different.map(({ name }) => name)).toEqual([]);
  });
});

describe('a service with wrong settings', () => {
  it.each(SERVICES)('%s names all of them at once, shows no secret, and ends with 78', async (service) => {
    const conf = file(`${service}.conf`, 'GRPC_DRAIN=soon\nGRPC_MAX_MESSAGE_BYTES=1\n');
    const main = join(ROOT, 'apps', service, 'src/main.ts');
    const child = spawn(process.execPath, ['--conditions=@octavia/source', main], {
      env: {
        PATH: process.env.PATH,
        OCTAVIA_CONFIG_FILE: conf,
        ...REQUIRED,
        GRPC_BIND: 'nowhere',
        DATABASE_URL_FILE: '/nowhere/hunter2',
        HEARTBEAT_KEY_FILE: '/nowhere/hunter2',
      },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let output = '';
    child.stdout.on('data', (data) => {
      output += data;
    });
    const [code] = await once(child, 'close');
    expect(code).toBe(78);
    const { faults } = JSON.parse(output.trim().split('\n').at(-1) ?? '{}');
    const names = faults.map(({ name }: { name: string }) => name);
    const expected = ['GRPC_BIND', 'GRPC_DRAIN', 'GRPC_MAX_MESSAGE_BYTES'];
    expected.push(service === 'heartbeat-udp' ? 'HEARTBEAT_KEY_FILE' : 'DATABASE_URL_FILE');
    expect(names).toEqual(expect.arrayContaining(expected));
    expect(output).not.toContain('hunter2');
  });
});
