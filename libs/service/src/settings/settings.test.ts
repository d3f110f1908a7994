import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, describe as group, it } from 'vitest';
import { duration, flag, hostPort, hostPorts, integer, list, oneOf, text } from './fields.ts';
import { file, secretFile } from './files.ts';
import { describe, effectiveSettings, SettingsError, settings } from './settings.ts';

const folder = mkdtempSync(join(tmpdir(), 'octavia-settings-'));
afterAll(() => rmSync(folder, { recursive: true }));

function write(name: string, content: string): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

function faultsOf(read: () => unknown): SettingsError {
  try {
    read();
  } catch (error) {
    if (error instanceof SettingsError) return error;
    throw error;
  }
  throw new Error('no fault was found');
}

const readConfig = settings({
  flows: { leaseMs: duration('FLOW_LEASE', { default: '5s', min: '1s', max: '10m', doc: 'How long a claim holds.' }) },
  slots: integer('SLOTS', { default: 4, min: 1, max: 64 }),
  name: text('NAME', { pattern: /[a-z]+/ }),
  isFast: flag('FAST', { default: false }),
  zones: list('ZONES', { default: [] }),
  mode: oneOf('MODE', ['loopback', 'namespaces'], { default: 'loopback' }),
  bind: hostPort('BIND', { default: '127.0.0.1:0' }),
  password: secretFile('PASSWORD_FILE'),
});

group('settings', () => {
  it('read every kind of value, and defaults where nothing is set', () => {
    const PASSWORD_FILE = write('password', 'open sesame\n');
    expect(readConfig({ NAME: 'web', FLOW_LEASE: '1.5s', ZONES: 'a, b,', BIND: '[::1]:8443', PASSWORD_FILE })).toEqual({
      flows: { leaseMs: 1500 },
      slots: 4,
      name: 'web',
      isFast: false,
      zones: ['a', 'b'],
      mode: 'loopback',
      bind: { host: '::1', port: 8443 },
      password: 'open sesame',
    });
  });

  it('report all faults at once, with what was written, what is allowed and the default', () => {
    const wrong = { FLOW_LEASE: '5 parsecs', SLOTS: '99', FAST: 'perhaps', MODE: 'magic', BIND: 'here', NAME: 'A1' };
    const { faults, message, exitCode } = faultsOf(() => readConfig(wrong));
    expect(faults.map(({ name }) => name)).toEqual([
      'FLOW_LEASE',
      'SLOTS',
      'NAME',
      'FAST',
      'MODE',
      'BIND',
      'PASSWORD_FILE',
    ]);
    expect(message).toContain('SLOTS=99 is out of range. Allowed: a whole number from 1 to 64. Default: 4.');
    expect(message).toContain('PASSWORD_FILE is not set.');
    expect(exitCode).toBe(78);
  });

  it('never show a secret, nor the line of a file that may hold one', () => {
    const secret = settings({ url: secretFile('URL_FILE', { orVariable: 'URL' }) });
    expect(secret({ URL: 'postgres://u:hunter2@h/d' })).toEqual({ url: 'postgres://u:hunter2@h/d' });
    const OCTAVIA_CONFIG_FILE = write('broken.conf', 'NAME=web\nhunter2\n');
    const { message } = faultsOf(() => readConfig({ OCTAVIA_CONFIG_FILE }));
    expect(message).toContain('line 2 is not NAME=value');
    expect(message).not.toContain('hunter2');
    expect(faultsOf(() => secret({ URL_FILE: 'hunter2' })).message).not.toContain('hunter2');
  });

  it('come from the file below the environment', () => {
    const PASSWORD_FILE = write('password', 'x');
    const OCTAVIA_CONFIG_FILE = write('good.conf', '# a comment\nNAME = "file"\nSLOTS=7\nFAST=yes\n');
    const config = readConfig({ OCTAVIA_CONFIG_FILE, NAME: 'env', SLOTS: '', PASSWORD_FILE });
    expect(config).toMatchObject({ name: 'env', slots: 7, isFast: true });
  });

  it('refuse durations that a timer cannot wait for', () => {
    expect(faultsOf(() => settings({ ms: duration('LONG') })({ LONG: '30d' })).message).toContain('out of range');
  });

  it('refuse contradictions by a rule, with the name of the setting to change', () => {
    const shape = {
      interval: duration('INTERVAL', { default: '1s' }),
      timeout: duration('TIMEOUT', { default: '4s' }),
    };
    const read = settings(shape, ({ interval, timeout }) =>
      timeout < 3 * interval ? [{ name: 'TIMEOUT', problem: 'is less than three times INTERVAL' }] : [],
    );
    expect(read({})).toEqual({ interval: 1000, timeout: 4000 });
    expect(faultsOf(() => read({ INTERVAL: '2s' })).message).toContain('TIMEOUT is less than three times INTERVAL');
  });

  it('name a variable once, though several sections use it', () => {
    const shared = { cert: file('CERT') };
    const { faults } = faultsOf(() => settings({ server: shared, client: shared })({ CERT: '/nowhere' }));
    expect(faults).toHaveLength(1);
    expect(faults[0]).toMatchObject({ name: 'CERT', value: '/nowhere', problem: 'cannot be read (ENOENT)' });
  });

  it('describe every option for a reference page', () => {
    const options = describe(readConfig.shape);
    expect(options).toHaveLength(8);
    expect(options[0]).toEqual({
      name: 'FLOW_LEASE',
      doc: 'How long a claim holds.',
      allowed: 'a duration from 1s to 10m, such as 500ms, 5s, 10m, 1h, 7d',
      default: '5s',
      unit: 'ms',
      isSecret: false,
      isRequired: false,
    });
  });

  it('are shown as they are in effect, from file, environment and defaults, but for secrets', () => {
    const shape = { a: text('A'), b: text('B', { default: 'x' }), c: text('C'), key: secretFile('KEY_FILE') };
    const keyFile = write('shown-key', 'hunter2');
    const env = { OCTAVIA_CONFIG_FILE: write('shown.conf', 'A=file\nC=file'), C: 'environment', KEY_FILE: keyFile };
    const shown = effectiveSettings(shape, env);
    expect(shown).toEqual({ A: 'file', B: 'x', C: 'environment', KEY_FILE: '[secret]' });
  });

  it('take several addresses', () => {
    const read = settings({ to: hostPorts('TO', { min: 1 }) });
    expect(read({ TO: '127.0.0.1:1, 127.0.0.2:2' }).to).toEqual([
      { host: '127.0.0.1', port: 1 },
      { host: '127.0.0.2', port: 2 },
    ]);
    expect(faultsOf(() => read({ TO: '127.0.0.1:1,:2' })).faults).toHaveLength(1);
  });
});
