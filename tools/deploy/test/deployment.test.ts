import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, existsSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { SERVICES } from '../src/options.ts';
import { findPrometheus } from '../src/prometheus.ts';
import { alerts } from '../src/queries.ts';
import { DEPLOY, ROOT } from '../src/root.ts';

const folder = mkdtempSync(join(tmpdir(), 'octavia-deployment-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** What `prepare` makes in the data folder, and what an operator writes; their content does not matter here. */
const FILES = [
  ...['services-ca', 'amphorae-ca', 'amphora-client', ...SERVICES].flatMap((name) => [
    `var/lib/octavia/pki/${name}.pem`,
    `var/lib/octavia/pki/${name}.key`,
  ]),
  'var/lib/octavia/secrets/heartbeat.key',
  'var/lib/octavia/secrets/secrets.keys',
  'etc/octavia/database-url',
  'run/secrets/database-url',
  'opt/octavia/apps/amphora-agent/dist/amphora-agent.mjs',
];

/** The machine on which a deployment runs, as a folder. */
function machine(): string {
  const root = join(folder, 'machine');
  for (const name of FILES) {
    mkdirSync(join(root, name, '..'), { recursive: true });
    writeFileSync(join(root, name), 'x');
  }
  writeFileSync(
    join(root, 'var/lib/octavia/installation.env'),
    'INSTALLATION_ID=00000000-0000-4000-8000-000000000000\n',
  );
  cpSync(join(DEPLOY, 'octavia.conf.example'), join(root, 'etc/octavia/octavia.conf'));
  return root;
}

/** What a service makes of an environment, with absolute paths taken to `root`. @throws SettingsError */
async function read(service: string, env: Record<string, string>, root: string): Promise<object> {
  const moved = Object.entries(env).map(([name, value]) => [name, value.startsWith('/') ? join(root, value) : value]);
  const { readConfig } = await import(`${ROOT}/apps/${service}/src/config.ts`);
  return readConfig(Object.fromEntries(moved));
}

/** Variables of a unit, those of its files included. */
function unitEnvironment(service: string, root: string): Record<string, string> {
  const lines = readFileSync(join(DEPLOY, 'systemd', `octavia-${service}.service`), 'utf8').split('\n');
  const pairs = lines.flatMap((line) => {
    const [, file] = /^EnvironmentFile=-(.+)$/.exec(line) ?? [];
    if (file) return existsSync(join(root, file)) ? readFileSync(join(root, file), 'utf8').trim().split('\n') : [];
    return /^Environment=(.+)$/.exec(line)?.[1]?.split(' ') ?? [];
  });
  return Object.fromEntries(pairs.map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]));
}

describe('the units for systemd', () => {
  const hasSystemd = existsSync('/usr/bin/systemd-analyze');

  it.runIf(hasSystemd)('are sound for systemd-analyze', () => {
    const units = join(folder, 'units');
    mkdirSync(units);
    for (const name of globSync('*', { cwd: join(DEPLOY, 'systemd') })) {
      const text = readFileSync(join(DEPLOY, 'systemd', name), 'utf8');
      // Where the code is installed: programs have to be there.
      writeFileSync(join(units, name), text.replaceAll('/opt/octavia', ROOT));
    }
    const files = globSync('*', { cwd: units }).map((name) => join(units, name));
    const { status, stderr } = spawnSync('systemd-analyze', ['verify', '--man=no', ...files], { encoding: 'utf8' });
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  });

  it.each(SERVICES)('give %s every setting that it needs', async (service) => {
    const root = machine();
    await expect(read(service, unitEnvironment(service, root), root)).resolves.toBeDefined();
  });

  it('give each process an address of its own, and the addresses to those that call', () => {
    const root = machine();
    const all = SERVICES.map((service) => unitEnvironment(service, root));
    const binds = all.flatMap(({ GRPC_BIND, METRICS_BIND }) => [GRPC_BIND, METRICS_BIND]);
    expect(new Set(binds).size).toBe(2 * SERVICES.length);
    const { GRPC_BIND: _, ...gateway } = unitEnvironment('api-gateway', root);
    for (const service of ['worker', 'health', 'heartbeat-udp', 'housekeeping']) {
      const variable = `${service.toUpperCase().replace('-', '_')}_ADDRESS`;
      expect(gateway[variable]).toBe(unitEnvironment(service, root).GRPC_BIND);
    }
    const { scrape_configs } = parse(readFileSync(join(DEPLOY, 'prometheus/prometheus.yml'), 'utf8'));
    const scraped = scrape_configs.map(
      (job: { static_configs: { targets: string[] }[] }) => job.static_configs[0]?.targets[0],
    );
    expect(scraped.sort()).toEqual(all.map(({ METRICS_BIND }) => METRICS_BIND).sort());
  });

  it('take every right away that a service does not need', () => {
    for (const service of SERVICES) {
      const text = readFileSync(join(DEPLOY, 'systemd', `octavia-${service}.service`), 'utf8');
      for (const line of [
        'User=octavia',
        'NoNewPrivileges=yes',
        'ProtectSystem=strict',
        'ProtectHome=yes',
        'SystemCallFilter=@system-service',
      ])
        expect(text.split('\n'), `${service}: ${line}`).toContain(line);
      if (service !== 'worker') expect(text).toContain('\nCapabilityBoundingSet=\n');
    }
  });
});

describe('the compose file', () => {
  const compose = parse(readFileSync(join(DEPLOY, 'compose/compose.yaml'), 'utf8'), { merge: true });

  it('has our services, the database and what watches them, each with an image', () => {
    const names = ['postgres', 'prepare', ...SERVICES, 'tempo', 'prometheus', 'grafana'];
    expect(Object.keys(compose.services).sort()).toEqual(names.sort());
    for (const [name, service] of Object.entries<Record<string, unknown>>(compose.services)) {
      expect(service.image, name).toEqual(expect.any(String));
      expect(String(service.image), `${name}: a version that moves`).not.toMatch(/:latest$/);
    }
  });

  it.each(SERVICES)('gives %s every setting that it needs', async (service) => {
    const root = machine();
    const env = { ...compose.services[service].environment, ...(service === 'worker' ? { INSTALLATION_ID: 'x' } : {}) };
    await expect(read(service, env, root)).resolves.toBeDefined();
  });

  it('names only files, volumes, secrets, networks and services that there are', () => {
    for (const [name, service] of Object.entries<Record<string, never>>(compose.services)) {
      for (const volume of service.volumes ?? []) {
        const [source = ''] = String(volume).split(':');
        if (source.startsWith('.'))
          expect(existsSync(join(DEPLOY, 'compose', source)), `${name}: ${source}`).toBe(true);
        else expect(Object.keys(compose.volumes), name).toContain(source);
      }
      for (const secret of service.secrets ?? []) expect(Object.keys(compose.secrets), name).toContain(secret);
      for (const network of service.networks ?? []) expect(Object.keys(compose.networks), name).toContain(network);
      for (const other of Object.keys(service.depends_on ?? {})) expect(Object.keys(compose.services)).toContain(other);
      for (const word of service.command ?? []) {
        if (String(word).endsWith('.js')) expect(existsSync(join(ROOT, word)), `${name}: ${word}`).toBe(true);
      }
    }
  });

  it('gives Prometheus the names of its services', () => {
    const { scrape_configs, rule_files } = parse(readFileSync(join(DEPLOY, 'compose/prometheus.yml'), 'utf8'));
    const jobs = scrape_configs.map(
      ({ job_name, static_configs }: { job_name: string; static_configs: { targets: string[] }[] }) => [
        job_name,
        static_configs[0]?.targets[0],
      ],
    );
    expect(jobs).toEqual(SERVICES.map((service) => [`octavia-${service}`, `${service}:9464`]));
    expect(rule_files).toEqual(['alerts.yml']);
  });
});

describe('the dashboards', () => {
  const { datasources } = parse(readFileSync(join(DEPLOY, 'grafana/provisioning/datasources/octavia.yml'), 'utf8'));
  const uids = datasources.map(({ uid }: { uid: string }) => uid);

  it.each(['overview', 'traces'])(
    '%s asks data sources that are provisioned, and no panel lies over another',
    (name) => {
      const { panels, uid } = JSON.parse(readFileSync(join(DEPLOY, `grafana/dashboards/${name}.json`), 'utf8'));
      expect(uid).toBe(`octavia-${name}`);
      const taken = new Set<string>();
      for (const { gridPos, targets = [], title } of panels) {
        for (const { datasource } of targets) expect(uids).toContain(datasource.uid);
        for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++)
          for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
            expect(x < 24 && !taken.has(`${x} ${y}`), `${title} at ${x}, ${y}`).toBe(true);
            taken.add(`${x} ${y}`);
          }
      }
    },
  );
});

describe('the alarms', () => {
  it('say how bad it is, what it is, and where to read on', () => {
    const operations = readFileSync(join(ROOT, 'docs/operations.md'), 'utf8');
    for (const { alert, labels, annotations } of alerts()) {
      expect(['page', 'ticket'], alert).toContain(labels.severity);
      expect(annotations.summary, alert).toBeTruthy();
      expect(annotations.description, alert).toBeTruthy();
      expect(annotations.runbook).toBe(`docs/operations.md#${alert.toLowerCase()}`);
      expect(operations.split('\n'), `docs/operations.md has no ${alert}`).toContain(`### ${alert}`);
    }
  });

  it.runIf(findPrometheus())('are sound for promtool, and ring when they should', () => {
    const promtool = findPrometheus()?.promtool ?? '';
    const run = (...args: string[]) =>
      execFileSync(promtool, args, { cwd: join(DEPLOY, 'prometheus'), encoding: 'utf8' });
    expect(run('check', 'config', 'prometheus.yml')).toContain('SUCCESS');
    expect(run('check', 'rules', 'alerts.yml')).toContain(`${alerts().length} rules found`);
    expect(run('test', 'rules', 'alerts.test.yml')).toContain('SUCCESS');
  });
});
